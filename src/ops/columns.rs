//! Columns of a tensor whose rows join several matrices.

use crate::gpu::Tensor;

/// Columns of a tensor: where queries, keys or values are within joined rows.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// The tensor.
    pub of: Tensor,
    /// The first column.
    pub start: usize,
    /// How many.
    pub count: usize,
    /// The distance between two of them: 2 where two matrices alternate, else 1.
    pub step: usize,
}

impl Columns {
    /// All columns of a tensor.
    pub fn all(of: Tensor) -> Self {
        Self { of, start: 0, count: of.columns, step: 1 }
    }

    /// Consecutive columns from `start` on.
    pub fn range(of: Tensor, start: usize, count: usize) -> Self {
        Self { of, start, count, step: 1 }
    }

    /// Whether they are all columns of the tensor.
    pub(crate) fn is_whole(&self) -> bool {
        self.count == self.of.columns && self.step == 1
    }

    /// One past the last column.
    pub(super) fn end(&self) -> usize {
        self.start + self.count.saturating_sub(1) * self.step + usize::from(self.count > 0)
    }
}
