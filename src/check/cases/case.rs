//! What a case is, and which cases of an op the self-test runs.

use std::fmt::Debug;

use crate::check::device::Device;
use crate::check::outcome::Outcome;
use crate::error::Result;

/// A case: it generates numbers, runs an op, and states what the result should be.
pub trait Case: Debug {
    /// Runs on a device; its expectations are checked once the run is done.
    ///
    /// # Errors
    /// As [`Device::run`].
    fn run(&self, device: &mut Device) -> Result<()>;
}

impl dyn Case + '_ {
    /// Runs on a device, and compares.
    ///
    /// # Errors
    /// As [`Device::attempt`].
    pub async fn attempt(&self, device: &mut Device) -> Result<Vec<Outcome>> {
        device.attempt(format!("{self:?}"), |device| self.run(device)).await
    }
}

/// The cases of one op in a self-test: shapes and values that have broken kernels before.
pub(in crate::check) trait Tables: Case + Sized + 'static {
    /// Run with every variant that the device offers, since the op's programs differ by variant.
    fn variants() -> Vec<Self> {
        Vec::new()
    }

    /// Run once: the op's programs do not depend on variants, or hardly, as an epilogue hardly
    /// depends on the lanes that compute the product.
    fn once() -> Vec<Self> {
        Vec::new()
    }

    /// A few small shapes that reach every program of a model whose query heads, key heads and head
    /// width are `heads`. Empty for ops that run only when intermediate values are read.
    fn quick(_heads: [usize; 3]) -> Vec<Self> {
        Vec::new()
    }
}
