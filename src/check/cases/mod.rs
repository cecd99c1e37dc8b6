//! Kernels against their twins, a case at a time: what an op is given, and what should come out.
//!
//! The self-test and the tests of this repository run the same cases over tables of their own.

mod attention;
#[cfg(feature = "train")]
mod backward;
mod draw;
mod linear;
mod norm;
mod rope;
mod rows;

use std::fmt::Debug;

use crate::error::Result;

use super::Device;

pub use attention::{Attend, Heads, Steps};
#[cfg(feature = "train")]
pub use backward::{
    AttendBack, Casts, Drops, FunctionsBack, Moves, NormsBack, ProductBack, TargetsBack,
    TokensBack, TurnBack,
};
pub use draw::{Best, Drawn, Draws};
pub use linear::{Product, Straight};
pub use norm::{HeadNorms, Norms, Targets};
pub use rope::Turn;
pub use rows::{Functions, Move, Tokens};

/// A case: it makes its numbers, runs ops, and says what they should give.
pub trait Case: Debug {
    /// Runs on a device; what it expects is judged once it is done.
    ///
    /// # Errors
    /// As [`Device::run`].
    fn run(&self, device: &mut Device) -> Result<()>;
}
