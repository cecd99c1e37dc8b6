//! `sum_heads`: the sum of all heads' outputs.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

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

params! {
    struct Params {
        heads: u32,
        columns: u32,
        x_stride: u32,
        out_stride: u32,
    }
}

impl Op for SumHeads {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, heads, bias, out } = self;
        check_shape((x.rows, x.columns) == (out.rows, heads * out.columns), "sum_heads", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        check_shape(bias.is_none_or(|bias| bias.columns == out.columns), "sum_heads", || {
            format!("the bias does not have the {} columns of out", out.columns)
        })?;
        let params = Params {
            heads: to_u32(*heads),
            columns: to_u32(out.columns),
            x_stride: to_u32(x.stride()),
            out_stride: to_u32(out.stride()),
        };
        let program = Program::new(kernel("sum_heads")).constant("BIAS", bias.is_some());
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            // Without a bias its slot holds x, which the kernel then ignores.
            .read(0, bias.unwrap_or(*x).buffer)
            .write(0, out.buffer)
            .weight_bytes(bias.map_or(0, |bias| bias.columns as u64 * 4))
            .grid([to_u32(out.columns.div_ceil(64)), to_u32(out.rows), 1]);
        Ok(())
    }
}
