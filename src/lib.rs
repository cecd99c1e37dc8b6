#![doc = include_str!("../README.md")]

pub mod check;
pub mod config;
pub mod error;
pub mod files;
pub mod generate;
pub mod gpu;
pub mod inspect;
pub mod measure;
pub mod model;
pub mod names;
pub mod noise;
pub mod ops;
pub mod reference;
pub mod text;
pub mod train;
pub mod unfinished;
pub mod weights;

pub use error::{Error, Remedy, Result};
/// wgpu in the version whose types [`gpu::Gpu::from_parts`] takes and [`gpu::Engine::buffer`] gives.
pub use wgpu;
