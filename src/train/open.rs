//! From a checkpoint to a trainer in one call.

use crate::check::{self, Variants};
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::format::Format;
use crate::gpu::{Adapter, Gpu};
use crate::model::{LoadOptions, Model};
use crate::select::KernelSelection;

use super::fit::TrainMemory;
use super::options::TrainOptions;
use super::recordings::DryRun;
use super::trainer::Trainer;

/// What is reported while a trainer is opened.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// What the run will take, reported before any of it is allocated.
    Planned {
        /// On this adapter.
        adapter: &'a Adapter,
        /// So many bytes.
        fit: &'a TrainMemory,
        /// For so many values to learn.
        parameters: usize,
    },
    /// Progress of reading the weights, in bytes.
    Loaded {
        /// So far.
        done: u64,
        /// In all.
        total: u64,
    },
}

impl Trainer {
    /// Opens a checkpoint on a device to train it: checks that the run fits, selects the variants of its
    /// kernels, loads the weights as f32 and allocates gradients, moments and caches.
    ///
    /// `variants` is the [`SelectionPolicy`](crate::check::SelectionPolicy) by which they are selected, or a
    /// [`KernelSelection`] itself, such as that of a saved step.
    ///
    /// # Errors
    /// Those of reading the file and of [`Trainer::new`]; [`Error::Memory`](crate::Error::Memory) for
    /// a run that does not fit on the device, [`Error::Device`](crate::Error::Device) if its kernels are
    /// wrong.
    pub async fn open(
        gpu: Gpu,
        checkpoint: &Checkpoint,
        options: TrainOptions,
        variants: impl Into<Variants>,
        mut progress: impl FnMut(Progress<'_>),
    ) -> Result<Self> {
        let load = LoadOptions { quantize: Some(Format::F32) };
        let named = Model::named(checkpoint, load, gpu.caps())?;
        let dry_run = DryRun::new(&gpu, &named, options)?;
        let programs = |selection: &KernelSelection| dry_run.programs(selection);
        let (mut engine, selection) =
            check::select_kernels(gpu, &named.config, variants.into(), &programs).await?;
        let fit = dry_run.fit(engine.gpu(), &selection)?;
        let (adapter, parameters) = (engine.gpu().adapter(), dry_run.parameter_count());
        progress(Progress::Planned { adapter, fit: &fit, parameters });
        let mut loaded = |done, total| progress(Progress::Loaded { done, total });
        let model = Model::load(&mut engine, checkpoint, load, &mut loaded)?;
        Self::new(engine, model, &selection, options, checkpoint)
    }
}
