//! Where a model runs: on a device, or by the reference.

use crate::error::Result;
use crate::gpu::{Engine, Gpu};
use crate::model::{self, LoadOptions, Session, SessionOptions};
use crate::ops::Choices;
use crate::reference;
use crate::weights::Checkpoint;

use super::llm::Options;

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

    pub(super) fn cpu(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self> {
        let context = model::context(checkpoint.config(), options.context)?;
        let model = Box::new(reference::Model::load(checkpoint, progress)?);
        let cache = model.cache();
        Ok(Self::Cpu { model, context, cache })
    }

    pub(super) fn gpu(
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
        let choices = Choices::defaults(gpu.caps());
        let mut engine = Engine::new(gpu);
        let model = model::Model::load(&mut engine, checkpoint, load, progress)?;
        Ok(Self::Gpu(Box::new(Session::new(engine, model, choices, session)?)))
    }
}
