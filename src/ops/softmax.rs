//! `softmax`: the second step of attention on its own.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

/// out = softmax(x) over the keys that each row may see, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub x: Tensor,
    /// H: heads.
    pub heads: usize,
    /// How many latest positions a row sees, its own included; all without.
    pub window: Option<usize>,
    /// (H·T, S).
    pub out: Tensor,
}

impl Op for Softmax {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { rows, x, heads, window, out } = self;
        let fits = (x.rows, x.columns) == (out.rows, out.columns) && x.rows.is_multiple_of(*heads);
        ensure(fits, "softmax", || {
            format!(
                "x is {} x {}, out {} x {}, for {heads} heads",
                x.rows, x.columns, out.rows, out.columns
            )
        })?;
        let count = x.rows / heads;
        let params = [word(count), word(x.columns), word(x.stride()), word(window.unwrap_or(0))];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("softmax"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(*rows),
                Binding::Read(x.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(count), word(*heads), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
