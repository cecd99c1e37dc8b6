//! `divide_rows`: a norm's division on its own.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, by_fours, ensure, same_shape, word};

/// out = x / scale, row by row.
#[derive(Clone, Copy, Debug)]
pub struct DivideRows {
    /// (T, C).
    pub x: Tensor,
    /// (T, 1).
    pub scale: Tensor,
    /// (T, C).
    pub out: Tensor,
}

impl Op for DivideRows {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, scale, out } = self;
        same_shape("divide_rows", x, out)?;
        ensure((scale.rows, scale.columns) == (x.rows, 1), "divide_rows", || {
            format!("x has {} rows, scale is {} x {}", x.rows, scale.rows, scale.columns)
        })?;
        let params = [word(x.stride() / 4), word(scale.stride()), 0, 0];
        recording.push(Dispatch {
            program: Program::new(kernel("divide_rows")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                Binding::Read(scale.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: by_fours(x),
            weight_bytes: 0,
        });
        Ok(())
    }
}
