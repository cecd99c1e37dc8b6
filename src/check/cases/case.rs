//! What a case is, and which cases of an op the self-test runs.

use std::fmt::Debug;

use crate::check::device::Device;
use crate::error::Result;

/// A case: it makes its numbers, runs an op, and says what that should give.
pub trait Case: Debug {
    /// Runs on a device; what it expects is judged once it is done.
    ///
    /// # Errors
    /// As [`Device::run`].
    fn run(&self, device: &mut Device) -> Result<()>;
}

/// What a self-test tries of one op: shapes and values that have broken kernels before.
pub(in crate::check) trait Tables: Case + Sized + 'static {
    /// Tried with every variant that the device offers, since the op's programs differ by variant.
    fn variants() -> Vec<Self> {
        Vec::new()
    }

    /// Tried once: the op's programs depend on variants not at all, or as little as what becomes of
    /// products depends on the lanes that make them.
    fn once() -> Vec<Self> {
        Vec::new()
    }

    /// A few small shapes that reach every program of a model whose query heads, key heads and head
    /// width are `heads`. Empty for ops that no model runs unless somebody looks inside.
    fn quick(_heads: [usize; 3]) -> Vec<Self> {
        Vec::new()
    }
}
