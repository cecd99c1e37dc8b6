#![doc = include_str!("../README.md")]
// docs.rs says which feature an item needs, which only nightly compilers can.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod atomic_file;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod error;
pub mod files;
pub mod format;
pub mod generate;
pub mod gpu;
pub mod hook;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod measure;
pub mod model;
pub mod noise;
pub mod ops;
pub mod reference;
pub mod sampling;
pub mod select;
pub mod tokenizer;
#[cfg(feature = "train")]
pub mod train;
pub mod tune;

pub use error::{Error, Remedy, Result};
/// wgpu in the version whose types [`gpu::Gpu::from_parts`] takes and [`gpu::Engine::buffer`]
/// gives.
pub use wgpu;

/// Blocks this thread until a future completes, for programs without an executor.
///
/// Missing in browsers, whose main thread must not block: spawn the future there.
#[cfg(not(target_arch = "wasm32"))]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    pollster::block_on(future)
}
