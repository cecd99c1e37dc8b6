//! The rows of a pass.

use crate::gpu::BufferId;

/// The rows of a pass, each a token at a position of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// (T): token, position, sequence and step of each.
    pub buffer: BufferId,
    /// How many there are.
    pub count: usize,
}
