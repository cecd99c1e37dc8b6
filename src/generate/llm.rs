//! A loaded model with its tokenizer, on a device or by the reference.

use std::path::Path;
use std::time::Duration;

use web_time::Instant;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::{Adapter, AdapterChoice};
use crate::model::{Fit, Session};
use crate::names::Format;
use crate::ops::{CacheFormat, MAX_TOP_K};
use crate::text::{ChatTemplate, Encode, Message, Tokenizer};
use crate::weights::Checkpoint;

use super::cpu::{CpuDecoder, Start};
use super::decode::Decoder;
use super::prefix::Known;
use super::runner::Runner;
use super::score::{self, Score};
use super::stream::{AnyDecoder, Generation, Request, Stream, Tail};

/// Where the model runs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// On an adapter; by the reference if the machine has none.
    Auto(AdapterChoice),
    /// On an adapter, or not at all.
    Gpu(AdapterChoice),
    /// By the reference, in plain Rust.
    Cpu,
}

impl Default for Backend {
    fn default() -> Self {
        Self::Auto(AdapterChoice::default())
    }
}

/// How to load a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it runs.
    pub backend: Backend,
    /// Positions of each sequence; without, the smaller of the model's context and 4,096.
    pub context: Option<usize>,
    /// How many sequences [`Llm::generate_batch`] may continue at once.
    pub sequences: usize,
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Store the weights in this format instead of the file's.
    pub quantize: Option<Format>,
    /// Hears what the model will take on which adapter, before it is loaded there.
    pub planned: Option<fn(&Adapter, &Fit)>,
    /// Whether kernels are held against the reference at an adapter's first use, and those that are
    /// wrong are not used. It is remembered in the cache folder (see [`Store`](crate::check::Store)).
    pub check: bool,
    /// Whether to use the variants that `pellucid tune` found to be faster.
    pub tuned: bool,
    /// Whether products in half floats are welcome where they were found to be faster: log-probabilities
    /// are then off by up to some 1e-2, and not by 1e-3.
    pub half: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            context: None,
            sequences: 1,
            cache: CacheFormat::F32,
            quantize: None,
            planned: None,
            check: true,
            tuned: true,
            half: false,
        }
    }
}

/// How long things took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the call to the first drawn token.
    pub first_token: Duration,
    /// From the first drawn token to the last.
    pub decode: Duration,
}

/// A language model, ready to continue and to score texts.
#[derive(Debug)]
pub struct Llm {
    /// The open files and the wishes, should the device be lost.
    checkpoint: Checkpoint,
    options: Options,
    runner: Runner,
    config: Config,
    tokenizer: Option<Tokenizer>,
    chat: Option<ChatTemplate>,
    known: Known,
    fingerprint: String,
}

impl Llm {
    /// Loads a GGUF file or a folder in Hugging Face's layout; `progress` hears bytes done and bytes
    /// in all.
    ///
    /// # Errors
    /// Those of the file, which name it and the tensor at fault; [`Error::Adapter`] and
    /// [`Error::Memory`] where the device does not fit.
    pub async fn load(
        path: impl AsRef<Path>,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        Self::from_checkpoint(Checkpoint::open(path.as_ref())?, options, progress).await
    }

    /// The same of an opened model, such as [`Checkpoint::built_in`].
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub async fn from_checkpoint(
        checkpoint: Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let tokenizer = checkpoint.tokenizer()?;
        let config = checkpoint.config().clone();
        let fingerprint = match options.quantize {
            Some(format) => format!("{} as {format}", checkpoint.fingerprint()?),
            None => checkpoint.fingerprint()?,
        };
        let chat = match &tokenizer {
            Some(tokenizer) => checkpoint.chat(tokenizer)?,
            None => None,
        };
        let runner = Runner::open(&checkpoint, options, progress).await?;
        let options = options.clone();
        let known = Known::default();
        Ok(Self { checkpoint, options, runner, config, tokenizer, chat, known, fingerprint })
    }

    /// Opens a device anew and loads the model onto it, in place of one that was lost. A
    /// [`Stream`] does so by itself.
    ///
    /// # Errors
    /// As [`Llm::load`].
    pub async fn revive(&mut self) -> Result<()> {
        self.known = Known::default();
        self.runner = Runner::open(&self.checkpoint, &self.options, &mut |_, _| {}).await?;
        Ok(())
    }

    /// The model's sizes and kinds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The model's tokenizer, where it has one.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// The model's own chat template.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }

    /// The adapter that the model runs on; `None` by the reference.
    pub fn adapter(&self) -> Option<&Adapter> {
        self.session().map(|session| session.engine().gpu().adapter())
    }

    /// The session on the device, for what this type does not offer; `None` by the reference.
    pub fn session(&self) -> Option<&Session> {
        match &self.runner {
            Runner::Gpu(session) => Some(session),
            Runner::Cpu { .. } => None,
        }
    }

    /// The session on the device, to run it; `None` by the reference. What is run may overwrite the
    /// caches, so the next prompt is read whole.
    pub fn session_mut(&mut self) -> Option<&mut Session> {
        self.known = Known::default();
        match &mut self.runner {
            Runner::Gpu(session) => Some(session),
            Runner::Cpu { .. } => None,
        }
    }

    /// Positions that each sequence has.
    pub fn context(&self) -> usize {
        self.runner.context()
    }

    /// The bytes that model and state take on the device; `None` by the reference.
    pub fn fit(&self) -> Option<Fit> {
        self.session().map(Session::fit)
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no tokenizer.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<u32>> {
        let missing =
            || Error::Input("the model has no tokenizer, and so takes token ids only".to_owned());
        self.tokenizer.as_ref().ok_or_else(missing)?.encode(text, options)
    }

    /// The tokens of a conversation, up to where the model is to answer, by its own template.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no tokenizer or no chat template, else as
    /// [`Tokenizer::encode_chat`].
    pub fn encode_chat(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let (Some(tokenizer), Some(template)) = (&self.tokenizer, &self.chat) else {
            return Err(Error::Input(
                "the model has no chat template; it can only continue a text".to_owned(),
            ));
        };
        tokenizer.encode_chat(template, messages)
    }

    /// Notes the tokens whose keys and values are now in the caches.
    pub(super) fn remember(&mut self, tokens: Vec<u32>) {
        self.known = Known::new(tokens);
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn runner(&self) -> &Runner {
        &self.runner
    }

    pub(super) fn runner_mut(&mut self) -> &mut Runner {
        &mut self.runner
    }

    /// Begins to continue a prompt; the tokens come from [`Stream::next`].
    ///
    /// # Errors
    /// [`Error::Input`] for an empty prompt, ids outside the vocabulary or settings out of range,
    /// [`Error::Context`] for a prompt longer than the context, [`Error::Lost`] for a device that was
    /// lost before; [`Llm::revive`] opens it again.
    pub fn stream(&mut self, prompt: &[u32], request: &Request) -> Result<Stream<'_>> {
        let (sampling, logprobs) = (&request.sampling, self.logprobs(request)?);
        // Should this generation not be finished, nothing is known of the caches.
        let known = std::mem::take(&mut self.known);
        let kept = if request.reuse_prefix { known.shared(prompt) } else { 0 };
        let decoder = match &mut self.runner {
            Runner::Gpu(session) => {
                AnyDecoder::Gpu(Decoder::new(session, &[prompt], kept, 0, sampling, logprobs)?)
            }
            Runner::Cpu { model, context, cache } => {
                let cache = std::mem::replace(cache, model.cache_for(*context));
                let start = Start { prompt, kept, cache, sequence: 0 };
                AnyDecoder::Cpu(CpuDecoder::new(model, *context, start, sampling, logprobs)?)
            }
        };
        Ok(Stream::new(self, decoder, request, prompt, kept))
    }

    /// Continues a prompt to its end; `shown` hears each piece of text as it comes.
    ///
    /// # Errors
    /// As [`Llm::stream`] and [`Stream::next`].
    pub async fn generate(
        &mut self,
        prompt: &[u32],
        request: &Request,
        shown: &mut dyn FnMut(&str),
    ) -> Result<(Generation, Timings)> {
        let start = Instant::now();
        let mut first = None;
        let mut last = start;
        let mut stream = self.stream(prompt, request)?;
        while let Some(piece) = stream.next().await? {
            last = Instant::now();
            first.get_or_insert(last);
            shown(&piece.text);
        }
        let generation = stream.finish().await?;
        let first = first.unwrap_or(start);
        let timings = Timings { first_token: first - start, decode: last - first };
        Ok((generation, timings))
    }

    /// Continues several prompts side by side; each draws from its own noise.
    ///
    /// # Errors
    /// As [`Llm::stream`]; [`Error::Input`] for more prompts than [`Options::sequences`].
    pub async fn generate_batch(
        &mut self,
        prompts: &[&[u32]],
        request: &Request,
    ) -> Result<Vec<Generation>> {
        if prompts.is_empty() {
            return Ok(Vec::new());
        }
        let (sampling, logprobs) = (&request.sampling, self.logprobs(request)?);
        self.known = Known::default();
        let groups = match &mut self.runner {
            Runner::Gpu(session) if prompts.len() > session.sequences() => {
                return Err(Error::Input(format!(
                    "{} prompts at once, but the model was loaded for {}",
                    prompts.len(),
                    session.sequences()
                )));
            }
            Runner::Gpu(session) => {
                let decoder = Decoder::new(session, prompts, 0, 0, sampling, logprobs)?;
                vec![(AnyDecoder::Gpu(decoder), prompts)]
            }
            Runner::Cpu { model, context, .. } => (0..)
                .zip(prompts.chunks(1))
                .map(|(sequence, prompts)| {
                    let (prompt, cache) = (prompts[0], model.cache_for(*context));
                    let start = Start { prompt, kept: 0, cache, sequence };
                    let decoder = CpuDecoder::new(model, *context, start, sampling, logprobs)?;
                    Ok((AnyDecoder::Cpu(decoder), prompts))
                })
                .collect::<Result<Vec<_>>>()?,
        };
        let mut generations = Vec::with_capacity(prompts.len());
        for (decoder, prompts) in groups {
            generations.extend(self.finish_group(decoder, prompts, request).await?);
        }
        Ok(generations)
    }

    pub(super) fn logprobs(&self, request: &Request) -> Result<Option<usize>> {
        request.logprobs.map(|k| self.most_probable(k)).transpose()
    }

    /// How many most probable tokens can be given where `k` are asked for.
    fn most_probable(&self, k: usize) -> Result<usize> {
        if k > MAX_TOP_K {
            return Err(Error::Input(format!(
                "at most {MAX_TOP_K} most probable tokens can be given, not {k}"
            )));
        }
        Ok(k.min(self.config.vocab))
    }

    async fn finish_group(
        &mut self,
        mut decoder: AnyDecoder,
        prompts: &[&[u32]],
        request: &Request,
    ) -> Result<Vec<Generation>> {
        // Shorter prompts leave room for more tokens, but the step runs for all: the longest decides.
        let most_steps = decoder.most_steps();
        let mut tails: Vec<Tail> =
            prompts.iter().map(|_| Tail::new(self, request, most_steps)).collect();
        while tails.iter().any(|tail| tail.finish.is_none()) {
            let wanted = tails[0].limit();
            let Some(step) = decoder.next(&mut self.runner, wanted).await? else { break };
            let mut tops = step.top.map(Vec::into_iter);
            for (tail, id) in tails.iter_mut().zip(step.ids) {
                let top = tops.as_mut().and_then(Iterator::next);
                if tail.finish.is_none() {
                    tail.push(id, top);
                }
            }
        }
        let counters = decoder.counters(&self.runner);
        decoder.close(&mut self.runner).await?;
        Ok(tails.into_iter().map(|tail| tail.into_generation(counters, 0)).collect())
    }

    /// ln p of each token of a text, and of the `top` most probable tokens after each.
    ///
    /// A text longer than the context is scored in windows of that length at half its distance.
    ///
    /// # Errors
    /// [`Error::Input`] for no token or ids outside the vocabulary, [`Error::Device`] if the device
    /// fails.
    pub async fn score(&mut self, tokens: &[u32], top: Option<usize>) -> Result<Score> {
        let top = top.map(|k| self.most_probable(k)).transpose()?;
        self.known = Known::default();
        score::score(&mut self.runner, tokens, top).await
    }
}
