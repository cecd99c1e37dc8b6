//! Where a model runs: on a device, or on the reference.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::{Counters, Gpu};
use crate::hook::Hook;
use crate::model::{self, Activation, Bound, Edit, Progress, Session, offered, rows};
use crate::reference;
use crate::sampling::Sampling;

use super::cpu::{CpuDecoder, Start, Watched};
use super::decode::{Decoder, Step};
use super::finite;
use super::options::{Backend, Options};

#[derive(Debug)]
pub(super) enum Runner {
    Gpu(Box<Session>),
    Cpu {
        model: Box<reference::Model>,
        context: usize,
        cache: reference::Cache,
        /// What changes named values in every run.
        edits: Vec<Bound>,
        /// The values that a generation keeps.
        keep: Vec<Hook>,
    },
}

/// A generation under way: a decoder, and what runs its steps.
#[derive(Debug)]
pub(super) enum Decoding<'a> {
    Gpu { session: &'a mut Session, decoder: Box<Decoder> },
    Cpu { model: &'a reference::Model, cache: &'a mut reference::Cache, decoder: Box<CpuDecoder> },
}

impl Runner {
    /// Opens a checkpoint where the options say.
    pub(super) async fn open(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let gpu = match &options.backend {
            Backend::Cpu => return Self::cpu(checkpoint, options, progress),
            Backend::Device(gpu) => gpu.clone(),
            Backend::Gpu(choice) => Gpu::open(choice).await?,
            Backend::Auto(choice) => match Gpu::open(choice).await {
                Err(Error::Adapter { reason, .. }) if choice.adapter.is_none() => {
                    log::warn!("{reason}; using the reference on the CPU instead, which is slow");
                    return Self::cpu(checkpoint, options, progress);
                }
                opened => opened?,
            },
        };
        let (session, policy) = (options.session(), options.policy());
        let session = Session::open(gpu, checkpoint, &session, policy, progress).await?;
        Ok(Self::Gpu(Box::new(session)))
    }

    fn cpu(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let context = model::context(checkpoint.config(), options.context)?;
        let mut loaded = |done, total| progress(Progress::Loaded { done, total });
        let model = Box::new(reference::Model::load(checkpoint, &mut loaded)?);
        let cache = model.cache_for(context);
        Ok(Self::Cpu { model, context, cache, edits: Vec::new(), keep: Vec::new() })
    }

    /// Positions that each sequence has.
    pub(super) fn context(&self) -> usize {
        match self {
            Self::Gpu(session) => session.context(),
            Self::Cpu { context, .. } => *context,
        }
    }

    pub(super) fn config(&self) -> &Config {
        match self {
            Self::Gpu(session) => &session.model().config,
            Self::Cpu { model, .. } => &model.config,
        }
    }

    /// The session on the device; `None` on the reference.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Gpu(session) => Some(session),
            Self::Cpu { .. } => None,
        }
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::Gpu(session) => Some(session),
            Self::Cpu { .. } => None,
        }
    }

    /// Changes named values in every run that follows.
    pub(super) fn set_edits(&mut self, edits: &[(Hook, Edit)]) -> Result<()> {
        match self {
            Self::Gpu(session) => session.set_edits(edits),
            Self::Cpu { model, context, edits: own, .. } => {
                let bind = |(hook, edit): &(Hook, Edit)| edit.bind(&model.config, *hook, *context);
                *own = edits.iter().map(bind).collect::<Result<_>>()?;
                Ok(())
            }
        }
    }

    /// Keeps these values of what generations read.
    pub(super) fn keep(&mut self, hooks: &[Hook]) -> Result<()> {
        match self {
            Self::Gpu(session) => session.keep(hooks),
            Self::Cpu { model, keep, .. } => {
                hooks.iter().try_for_each(|hook| offered(&model.config, *hook))?;
                *keep = hooks.to_vec();
                Ok(())
            }
        }
    }

    /// Starts to continue prompts, none of them empty or longer than the context, whose first `kept`
    /// tokens the caches hold. The reference continues one at a time, namely this `sequence`.
    pub(super) fn decode(
        &mut self,
        prompts: &[&[u32]],
        kept: usize,
        sequence: u32,
        sampling: &Sampling,
        logprobs: Option<usize>,
    ) -> Result<Decoding<'_>> {
        match self {
            Self::Gpu(session) => {
                let decoder = Decoder::new(session, prompts, kept, 0, sampling, logprobs)?;
                Ok(Decoding::Gpu { session, decoder: Box::new(decoder) })
            }
            Self::Cpu { model, context, cache, edits, keep } => {
                let own = std::mem::replace(cache, model.cache_for(*context));
                let watched = Watched { edits: edits.clone(), keep: keep.clone() };
                let start = Start { prompt: prompts[0], kept, cache: own, sequence, watched };
                let decoder = CpuDecoder::new(model, *context, start, sampling, logprobs)?;
                Ok(Decoding::Cpu { model, cache, decoder: Box::new(decoder) })
            }
        }
    }

    /// The logits that follow tokens, of which the caches hold the first `read`.
    pub(super) async fn logits(&mut self, tokens: &[u32], read: usize) -> Result<Vec<f64>> {
        match self {
            Self::Cpu { model, cache, .. } => {
                cache.truncate(read);
                model.forward_last(cache, &tokens[read..], &mut ())
            }
            Self::Gpu(session) => {
                let rows = &rows(tokens, 0)[read..];
                let observed = session.observe_rows(rows, &[], &[rows.len() - 1]).await?;
                Ok(observed.logits.into_iter().map(f64::from).collect())
            }
        }
    }

    /// The error about logits after these tokens that are not finite.
    pub(super) async fn not_finite(&mut self, tokens: &[u32]) -> Error {
        match self {
            Self::Gpu(session) => finite::on_device(session, tokens).await,
            Self::Cpu { model, .. } => finite::on_reference(model, tokens),
        }
    }

    /// How keys and values are laid out, and the bytes of one position's keys in one layer.
    pub(super) fn cache_layout(&self) -> (String, u64) {
        match self {
            Self::Gpu(session) => (session.cache_layout(), session.position_bytes()),
            Self::Cpu { model, .. } => {
                let width = model.config.kv_width();
                (format!("reference, width {width}"), width as u64 * 8)
            }
        }
    }

    /// The hash of all weights as the files have them.
    pub(super) fn weights_hash(&self) -> &str {
        match self {
            Self::Gpu(session) => session.model().hash.as_deref().unwrap_or_default(),
            Self::Cpu { model, .. } => model.hash(),
        }
    }

    /// The keys and the values of one layer's first positions.
    pub(super) async fn read_cache(
        &mut self,
        layer: usize,
        positions: usize,
    ) -> Result<[Vec<u8>; 2]> {
        match self {
            Self::Gpu(session) => session.read_cache(layer, positions).await,
            Self::Cpu { cache, .. } => {
                Ok(cache.layer(layer, positions).map(|part| bytemuck::cast_slice(part).to_vec()))
            }
        }
    }

    /// Puts back what [`Runner::read_cache`] gave.
    pub(super) fn write_cache(
        &mut self,
        layer: usize,
        positions: usize,
        parts: [Vec<u8>; 2],
    ) -> Result<()> {
        match self {
            Self::Gpu(session) => session.write_cache(layer, &parts[0], &parts[1]),
            Self::Cpu { cache, .. } => {
                let [keys, values] = parts.map(|part| bytemuck::pod_collect_to_vec(&part));
                cache.restore(layer, positions, keys, values);
                Ok(())
            }
        }
    }
}

impl Decoding<'_> {
    /// How many steps the context has room for.
    pub(super) fn most_steps(&self) -> usize {
        match self {
            Self::Gpu { decoder, .. } => decoder.most_steps(),
            Self::Cpu { decoder, .. } => decoder.most_steps(),
        }
    }

    /// The next step's draws, or `None` when the context is full; at most `wanted` steps in all.
    pub(super) async fn next(&mut self, wanted: usize) -> Result<Option<Step>> {
        match self {
            Self::Gpu { session, decoder } => decoder.next(session, wanted).await,
            Self::Cpu { model, decoder, .. } => decoder.next(model).map(Some),
        }
    }

    /// The error about a step without a token: the logits after these tokens are not finite.
    pub(super) async fn not_finite(&mut self, tokens: &[u32]) -> Error {
        match self {
            Self::Gpu { session, .. } => finite::on_device(session, tokens).await,
            Self::Cpu { model, .. } => finite::on_reference(model, tokens),
        }
    }

    /// Reads the next piece of a long prompt; `None` if the first token needs no more of them.
    pub(super) async fn read(&mut self) -> Result<Option<usize>> {
        match self {
            Self::Gpu { session, decoder } => decoder.read(session).await,
            // The reference reads all of it with the first token.
            Self::Cpu { .. } => Ok(None),
        }
    }

    /// Tokens of the prompt, before its last one, that have not been read.
    pub(super) fn unread(&self) -> usize {
        match self {
            Self::Gpu { decoder, .. } => decoder.unread(),
            Self::Cpu { decoder, .. } => decoder.unread(),
        }
    }

    /// The values that were kept of what was read so far.
    pub(super) fn take_kept(&mut self) -> Vec<Activation> {
        match self {
            Self::Gpu { session, decoder } => decoder.take_kept().finish(&session.model().config),
            Self::Cpu { model, decoder, .. } => decoder.take_kept().finish(&model.config),
        }
    }

    /// What the engine did, and in how many steps after the first; `None` on the reference.
    pub(super) fn counters(&self) -> Option<(Counters, usize)> {
        match self {
            Self::Gpu { session, decoder } => decoder.counters(session),
            Self::Cpu { .. } => None,
        }
    }

    /// Waits for the steps in flight, and keeps the caches for the next generation.
    pub(super) async fn close(self) -> Result<()> {
        match self {
            Self::Gpu { session, decoder } => decoder.close(session).await,
            Self::Cpu { cache, decoder, .. } => {
                *cache = decoder.into_cache();
                Ok(())
            }
        }
    }
}
