//! Looking into models through their named values.

mod compare;

pub use compare::{Comparison, Difference, compare};
