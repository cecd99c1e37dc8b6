#![doc = include_str!("../README.md")]
// docs.rs says which feature an item needs, which only nightly compilers can.
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod check;
pub mod config;
pub mod error;
pub mod files;
pub mod generate;
pub mod gpu;
#[cfg(feature = "inspect")]
pub mod inspect;
pub mod measure;
pub mod model;
pub mod names;
pub mod ops;
pub mod reference;
pub mod text;
#[cfg(feature = "train")]
pub mod train;
pub mod unfinished;
pub mod weights;
pub use error::{Error, Result};
