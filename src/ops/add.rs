//! `add`: the residual stream's sum on its own.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, spread, word};

/// out = out + x.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

impl Op for Add {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, out } = self;
        ensure((x.rows, x.columns) == (out.rows, out.columns), "add", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        let fours = x.rows * x.stride() / 4;
        recording.push(Dispatch {
            program: Program::new(kernel("add")),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}
