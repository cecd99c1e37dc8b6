//! How a model is loaded, and where it runs.

use std::sync::Arc;

use crate::check::SelectionPolicy;
use crate::format::Format;
use crate::gpu::AdapterChoice;
use crate::model::SessionOptions;
use crate::ops::CacheFormat;
use crate::tune::KeyValueStorage;

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
    /// Whether kernels are held against the reference at an adapter's first use, and those that are
    /// wrong are not used. It is remembered in the cache folder (see [`ProfileCache`](crate::tune::ProfileCache)).
    pub check: bool,
    /// Whether to use the variants that `pellucid tune` found to be faster.
    pub tuned: bool,
    /// Whether products in half floats are welcome where they were found to be faster: log-probabilities
    /// are then off by up to some 1e-2, and not by 1e-3.
    pub f16: bool,
    /// Where the adapter's record is kept on a system without files; in the cache folder if `None`.
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
            storage: None,
        }
    }
}

impl Options {
    /// What of it a session is like.
    pub(super) fn session(&self) -> SessionOptions {
        let &Self { context, sequences, cache, quantize, .. } = self;
        SessionOptions { context, sequences, cache, quantize, chunk: None }
    }

    /// How the variants of its kernels are chosen.
    pub(super) fn policy(&self) -> SelectionPolicy {
        let &Self { check, tuned, f16, .. } = self;
        SelectionPolicy { check, tuned, f16, storage: self.storage.clone() }
    }
}
