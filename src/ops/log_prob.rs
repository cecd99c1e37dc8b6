//! `log_prob`: how probable given tokens are.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, word};

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

impl Op for LogProb {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { logits, targets, out } = self;
        let params = [word(logits.columns), word(logits.stride() / 4), 0, 0];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("log_prob"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(logits.buffer),
                Binding::Read(*targets),
                Binding::Write(*out),
            ]],
            grid: Grid::Fixed([word(logits.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
