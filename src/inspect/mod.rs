//! Looking into models: what their named values say.

mod compare;

pub use compare::{Comparison, Difference, compare};
