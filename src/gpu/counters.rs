//! What an engine does, counted.

use serde::Serialize;

/// What the engine has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Kernels run.
    pub dispatches: u64,
    /// Compute passes.
    pub passes: u64,
    /// Submits.
    pub submits: u64,
    /// Bytes copied back to the host.
    pub readback_bytes: u64,
    /// Bytes of weights that the kernels fetched.
    pub weight_bytes: u64,
    /// Buffers, bind groups and pipelines created.
    pub allocations: u64,
}

impl Counters {
    /// What happened between `earlier` and now.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            dispatches: self.dispatches - earlier.dispatches,
            passes: self.passes - earlier.passes,
            submits: self.submits - earlier.submits,
            readback_bytes: self.readback_bytes - earlier.readback_bytes,
            weight_bytes: self.weight_bytes - earlier.weight_bytes,
            allocations: self.allocations - earlier.allocations,
        }
    }
}
