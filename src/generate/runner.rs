//! Where a model runs: on a device, or by the reference.

use crate::check::{self, Store};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::{Engine, Gpu, Program};
use crate::model::{self, LoadOptions, Model, Session, SessionOptions};
use crate::ops::Choices;
use crate::reference;
use crate::weights::Checkpoint;

use super::llm::{Backend, Options};

#[derive(Debug)]
pub(super) enum Runner {
    Gpu(Box<Session>),
    Cpu { model: Box<reference::Model>, context: usize, cache: reference::Cache },
}

impl Runner {
    pub(super) fn context(&self) -> usize {
        match self {
            Self::Gpu(session) => session.context(),
            Self::Cpu { context, .. } => *context,
        }
    }

    /// Loads a checkpoint where the options say.
    pub(super) async fn open(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        match &options.backend {
            Backend::Cpu => Self::cpu(checkpoint, options, progress),
            Backend::Gpu(choice) => {
                Self::gpu(Gpu::open(choice).await?, checkpoint, options, progress).await
            }
            Backend::Auto(choice) => match Gpu::open(choice).await {
                Ok(gpu) => Self::gpu(gpu, checkpoint, options, progress).await,
                Err(Error::Adapter(reason)) if choice.adapter.is_none() => {
                    log::warn!("{reason}; running the reference on the CPU instead, slowly");
                    Self::cpu(checkpoint, options, progress)
                }
                Err(error) => Err(error),
            },
        }
    }

    fn cpu(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let context = model::context(checkpoint.config(), options.context)?;
        let model = Box::new(reference::Model::load(checkpoint, progress)?);
        let cache = model.cache_for(context);
        Ok(Self::Cpu { model, context, cache })
    }

    async fn gpu(
        gpu: Gpu,
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let load = LoadOptions { quantize: options.quantize };
        let session = SessionOptions {
            context: options.context,
            sequences: options.sequences,
            cache: options.cache,
            chunk: None,
        };
        let fit = model::plan(&gpu, checkpoint, load, &session)?;
        if let Some(planned) = options.planned {
            planned(gpu.adapter(), &fit);
        }
        let cache = model::layer_cache(&gpu, checkpoint.config(), &session)?;
        let named = Model::named(checkpoint, load, gpu.caps())?;
        let programs = |choices: &Choices| model::programs(&named, choices, &cache, &session);
        let (mut engine, choices) = choose(gpu, &named.config, options, &programs).await?;
        let model = Model::load(&mut engine, checkpoint, load, progress)?;
        Ok(Self::Gpu(Box::new(Session::new(engine, model, choices, session)?)))
    }
}

/// The variants to use: those that come out right, and of these the ones measured to be fastest.
async fn choose(
    gpu: Gpu,
    config: &Config,
    options: &Options,
    programs: &dyn Fn(&Choices) -> Result<Vec<Program>>,
) -> Result<(Engine, Choices)> {
    let store = Store::new(gpu.adapter());
    let kept = store.load();
    let mut known = if options.tuned { kept.known.clone() } else { kept.known.unmeasured() };
    known.half = options.half;
    if !options.check {
        let choices = Choices::new(gpu.caps(), known.unchecked());
        return Ok((Engine::new(gpu), choices));
    }
    let &Config { heads, kv_heads, head_width, .. } = config;
    let heads = [heads, kv_heads, head_width];
    check::admit_and_keep(Engine::new(gpu), &store, &known, heads, programs).await
}
