//! `bias_backward`: the derivative of y = x Wᵀ + b with respect to b.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

use super::column_sum::shares;

/// db += Σ dy over the rows.
#[derive(Clone, Copy, Debug)]
pub struct BiasBackward {
    /// (T, N).
    pub dy: Tensor,
    /// (1, N).
    pub out: Tensor,
}

params! {
    struct Params {
        rows: u32,
        stride: u32,
        columns: u32,
    }
}

impl Op for BiasBackward {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { dy, out } = self;
        check_shape((out.rows, out.columns) == (1, dy.columns), "bias_backward", || {
            format!("dy has {} columns, the bias is {} x {}", dy.columns, out.rows, out.columns)
        })?;
        let [wide, high] = shares(selection, dy.rows);
        let params = Params {
            rows: to_u32(dy.rows),
            stride: to_u32(dy.stride() / 4),
            columns: to_u32(dy.columns),
        };
        let program = Program::new(kernel("bias_backward"))
            .part(part("column_sum"))
            .constant("WG_N", wide)
            .constant("WG_T", high);
        recording.dispatch(program, &params).read(0, dy.buffer).write(0, out.buffer).grid([
            to_u32(dy.columns.div_ceil(4)).div_ceil(wide),
            1,
            1,
        ]);
        Ok(())
    }
}
