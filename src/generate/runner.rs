//! Where a model runs: on a device, or by the reference.

use crate::check::{self, Wishes};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
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
                Err(Error::Adapter { reason, .. }) if choice.adapter.is_none() => {
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
        let &Options { check, tuned, half, .. } = options;
        let wishes = Wishes { check, tuned, half };
        let (mut engine, choices) = check::choose(gpu, &named.config, wishes, &programs).await?;
        let model = Model::load(&mut engine, checkpoint, load, progress)?;
        Ok(Self::Gpu(Box::new(Session::new(engine, model, choices, session)?)))
    }
}
