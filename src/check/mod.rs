//! What an adapter is worth: how fast it can go at all.

mod ceilings;

pub use ceilings::{Ceilings, measure};
