//! `cross_entropy`: the loss, and its derivative in place of the logits.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, grid_1d, to_u32};
use crate::select::{KernelSelection, kernel};

/// −ln p of each row's target, and (softmax − onehot) / M in place of the row's logits.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// Logits, replaced by their gradient, (R, V).
    pub logits: Tensor,
    /// (T): token ids; [`IGNORED`](crate::reference::backward::IGNORED), or any other id outside
    /// the vocabulary, is ignored.
    pub targets: BufferId,
    /// Row r has target `first` + r.
    pub first: usize,
    /// (T); 0 for a target that is ignored.
    pub losses: BufferId,
    /// One number: 1 / M over the M targets that count.
    pub share: BufferId,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
        first: u32,
    }
}

impl Op for CrossEntropy {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { logits, targets, first, losses, share } = self;
        check_shape(logits.columns > 0, "cross_entropy", || "there are no logits".to_owned())?;
        let params = Params {
            columns: to_u32(logits.columns),
            stride: to_u32(logits.stride() / 4),
            first: to_u32(*first),
        };
        let reduce = selection.reduce_over(3 * logits.stride() / 4);
        recording
            .dispatch(reduce.apply(Program::new(kernel("cross_entropy"))), &params)
            .write(0, logits.buffer)
            .read(0, *targets)
            .write(0, *losses)
            .read(0, *share)
            .grid(grid_1d(logits.rows));
        Ok(())
    }
}
