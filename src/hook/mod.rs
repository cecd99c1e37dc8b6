//! The named values of the forward pass: which there are, and how people spell their names.

mod names;
mod points;

pub use points::{Hook, Need, Point, Size};
