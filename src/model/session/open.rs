//! From a checkpoint to a session in one call.

use crate::check::{self, Variants};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::gpu::{Adapter, Gpu};
use crate::model::memory::{MemoryUse, SessionOptions, layer_cache, plan};
use crate::model::programs::programs as programs_of;
use crate::model::upload::LoadOptions;
use crate::model::weights::Model;
use crate::select::KernelSelection;

use super::state::Session;

/// Progress reported while a model is opened.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// The bytes that the model will take on this adapter, before any is allocated.
    Planned(&'a Adapter, &'a MemoryUse),
    /// Bytes of weights that were read.
    Loaded {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
}

impl Session {
    /// Opens a checkpoint on a device: checks that it fits, selects the variants of its kernels,
    /// loads its weights and allocates its caches.
    ///
    /// `variants` is a [`SelectionPolicy`](crate::check::SelectionPolicy), by which the kernels are
    /// selected, or a [`KernelSelection`] itself.
    ///
    /// # Errors
    /// Those of reading the file; [`Error::Input`](crate::Error::Input) for a context beyond the
    /// model's, [`Error::Memory`](crate::Error::Memory) for what does not fit on the device,
    /// [`Error::Device`](crate::Error::Device) where its kernels are wrong.
    pub async fn open(
        gpu: Gpu,
        checkpoint: &Checkpoint,
        options: &SessionOptions,
        variants: impl Into<Variants>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let load = LoadOptions { quantize: options.quantize };
        let named = Model::named(checkpoint, load, gpu.caps())?;
        let fit = plan(&gpu, &named, options)?;
        progress(Progress::Planned(gpu.adapter(), &fit));
        let cache = layer_cache(&gpu, &named.config, options)?;
        let programs =
            |selection: &KernelSelection| programs_of(&named, selection, &cache, options);
        let (mut engine, selection) =
            check::select_kernels(gpu, &named.config, variants.into(), &programs).await?;
        let mut loaded = |done, total| progress(Progress::Loaded { done, total });
        let model = Model::load(&mut engine, checkpoint, load, &mut loaded)?;
        Self::new(engine, model, selection, *options)
    }
}
