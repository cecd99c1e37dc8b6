//! `cross_entropy`: the loss, and its derivative in place of the logits.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, ensure, spread, word};

/// −ln p of each row's target, and (softmax − onehot) / M in place of the row's logits.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// Logits; afterwards what comes back to them, (R, V).
    pub logits: Tensor,
    /// (T): token ids; [`IGNORED`](crate::reference::backward::IGNORED), or any other id outside the
    /// vocabulary, counts for nothing.
    pub targets: BufferId,
    /// Row r has target `first` + r.
    pub first: usize,
    /// (T); 0 for a target that counts for nothing.
    pub losses: BufferId,
    /// One number: 1 / M over the M targets that count.
    pub share: BufferId,
}

impl Op for CrossEntropy {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { logits, targets, first, losses, share } = self;
        ensure(logits.columns > 0, "cross_entropy", || "there are no logits".to_owned())?;
        let params = [word(logits.columns), word(logits.stride() / 4), word(*first), 0];
        let reduce = choices.reduce_over(3 * logits.stride() / 4);
        recording.push(Dispatch {
            program: reduce.apply(Program::new(kernel("cross_entropy"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Write(logits.buffer),
                Binding::Read(*targets),
                Binding::Write(*losses),
                Binding::Read(*share),
            ]],
            grid: Grid::Fixed(spread(logits.rows)),
            weight_bytes: 0,
        });
        Ok(())
    }
}
