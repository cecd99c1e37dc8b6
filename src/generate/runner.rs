//! Where a model runs: on a device, or by the reference.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::{self, Progress, Session};
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

    /// Opens a checkpoint where the options say.
    pub(super) async fn open(
        checkpoint: &Checkpoint,
        options: &Options,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Self> {
        let choice = match &options.backend {
            Backend::Cpu => return Self::cpu(checkpoint, options, progress),
            Backend::Auto(choice) | Backend::Gpu(choice) => choice,
        };
        let gpu = match Gpu::open(choice).await {
            Err(Error::Adapter(reason))
                if matches!(options.backend, Backend::Auto(_)) && choice.adapter.is_none() =>
            {
                log::warn!("{reason}; running the reference on the CPU instead, slowly");
                return Self::cpu(checkpoint, options, progress);
            }
            opened => opened?,
        };
        let (session, wishes) = (options.session(), options.wishes());
        let session = Session::open(gpu, checkpoint, &session, wishes, progress).await?;
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
        Ok(Self::Cpu { model, context, cache })
    }
}
