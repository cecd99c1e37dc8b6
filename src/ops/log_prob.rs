//! `log_prob`: how probable given tokens are.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, to_u32};
use crate::select::{KernelSelection, kernel};

/// The natural logarithm of each target's probability.
#[derive(Clone, Copy, Debug)]
pub struct LogProb {
    /// (T, V).
    pub logits: Tensor,
    /// (T): token ids.
    pub targets: BufferId,
    /// (T): a buffer of T values, without padding.
    pub out: BufferId,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
    }
}

impl Op for LogProb {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { logits, targets, out } = self;
        let params =
            Params { columns: to_u32(logits.columns), stride: to_u32(logits.stride() / 4) };
        recording
            .dispatch(selection.reduce.apply(Program::new(kernel("log_prob"))), &params)
            .read(0, logits.buffer)
            .read(0, *targets)
            .write(0, *out)
            .grid([to_u32(logits.rows), 1, 1]);
        Ok(())
    }
}
