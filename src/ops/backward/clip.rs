//! `clip`: how long all gradients are, and what they are multiplied by.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, word};

/// The length of all gradients, and what they are multiplied by.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// What [`SquareSum`] gave.
    pub partials: BufferId,
    /// How many parts.
    pub count: usize,
    /// Eight numbers: rate, β₁, β₂, ε, decay, 1 − β₁ᵗ, 1 − β₂ᵗ, and the longest that gradients may be,
    /// taken together; 0 for any.
    pub settings: BufferId,
    /// Four numbers: the factor, the length, 1 where that is finite and else 0, and 0.
    pub out: BufferId,
}

impl Op for Clip {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { partials, count, settings, out } = self;
        recording.push(Dispatch {
            program: choices.reduce_over(*count).apply(Program::new(kernel("clip"))),
            params: bytemuck::bytes_of(&[word(*count), 0, 0, 0]).to_vec(),
            groups: vec![vec![
                Binding::Read(*partials),
                Binding::Read(*settings),
                Binding::Write(*out),
            ]],
            grid: Grid::Fixed([1, 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
