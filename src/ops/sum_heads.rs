//! `sum_heads`: what all heads write together.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

/// The sum over all heads, plus the bias.
#[derive(Clone, Copy, Debug)]
pub struct SumHeads {
    /// (T, H·C).
    pub x: Tensor,
    /// H: heads.
    pub heads: usize,
    /// (1, C).
    pub bias: Option<Tensor>,
    /// (T, C).
    pub out: Tensor,
}

impl Op for SumHeads {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, heads, bias, out } = self;
        ensure((x.rows, x.columns) == (out.rows, heads * out.columns), "sum_heads", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        ensure(bias.is_none_or(|bias| bias.columns == out.columns), "sum_heads", || {
            format!("the bias does not have the {} columns of out", out.columns)
        })?;
        let params = [*heads, out.columns, x.stride(), out.stride()].map(word);
        recording.push(Dispatch {
            program: Program::new(kernel("sum_heads"))
                .constant("BIAS", f64::from(u8::from(bias.is_some()))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                // Without a bias its slot holds x, which the kernel then does not take for one.
                Binding::Read(bias.unwrap_or(*x).buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(out.columns.div_ceil(64)), word(out.rows), 1]),
            weight_bytes: bias.map_or(0, |bias| bias.columns as u64 * 4),
        });
        Ok(())
    }
}
