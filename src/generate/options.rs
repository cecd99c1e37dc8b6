//! How a model is loaded, and where it runs.

use std::sync::Arc;

use crate::check::SelectionPolicy;
use crate::format::Format;
use crate::gpu::{AdapterChoice, Gpu};
use crate::model::SessionOptions;
use crate::ops::CacheFormat;
use crate::tune::KeyValueStorage;

/// Where the model runs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// On an adapter; on the reference if the machine has none.
    Auto(AdapterChoice),
    /// On an adapter, or not at all.
    Gpu(AdapterChoice),
    /// On a device that is open already, perhaps for another model or by an app. Kernels that were
    /// compiled for one model are there for the next. If it is lost, the caller has to open another.
    Device(Gpu),
    /// On the reference, in plain Rust.
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
    /// Positions of each sequence; if `None`, the smaller of the model's context and 4,096.
    pub context: Option<usize>,
    /// How many sequences [`Llm::generate_batch`](super::Llm::generate_batch) may continue at once.
    pub sequences: usize,
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Store the weights in this format instead of the file's.
    pub quantize: Option<Format>,
    /// Whether kernels are compared with the reference at an adapter's first use, so that wrong ones are
    /// not used. The result is kept in the cache folder (see [`ProfileCache`](crate::tune::ProfileCache)).
    pub check: bool,
    /// Whether to use the variants that `pellucid tune` found to be faster.
    pub tuned: bool,
    /// Whether f16 products may be used where they were measured to be faster. Log-probabilities are
    /// then off by up to about 1e-2 instead of 1e-3.
    pub f16: bool,
    /// Whether only token ids go in. The model then loads with a tokenizer that cannot be read, too, as
    /// one that has none; a warning says why.
    pub ids_only: bool,
    /// Where the adapter's record is kept on a system without files; if `None`, in the cache folder.
    pub storage: Option<Arc<dyn KeyValueStorage>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            context: None,
            sequences: 1,
            cache: CacheFormat::F32,
            quantize: None,
            check: true,
            tuned: true,
            f16: false,
            ids_only: false,
            storage: None,
        }
    }
}

impl Options {
    /// The session's part of the options.
    pub(super) fn session(&self) -> SessionOptions {
        let &Self { context, sequences, cache, quantize, .. } = self;
        SessionOptions { context, sequences, cache, quantize, chunk: None }
    }

    /// How the variants of the kernels are selected.
    pub(super) fn policy(&self) -> SelectionPolicy {
        let &Self { check, tuned, f16, .. } = self;
        SelectionPolicy { check, tuned, f16, storage: self.storage.clone() }
    }
}
