//! `bias_backward`: the derivative of y = x Wᵀ + b by b.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::choices::Choices;
use crate::ops::kernels::{kernel, part};
use crate::ops::op::{Op, ensure, word};

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
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { dy, out } = self;
        ensure((out.rows, out.columns) == (1, dy.columns), "bias_backward", || {
            format!("dy has {} columns, the bias is {} x {}", dy.columns, out.rows, out.columns)
        })?;
        let [wide, high] = shares(choices, dy.rows);
        let params = Params {
            rows: word(dy.rows),
            stride: word(dy.stride() / 4),
            columns: word(dy.columns),
        };
        let program = Program::new(kernel("bias_backward"))
            .part(part("column_sum"))
            .constant("WG_N", wide)
            .constant("WG_T", high);
        recording.dispatch(program, &params).read(0, dy.buffer).write(0, out.buffer).grid([
            word(dy.columns.div_ceil(4)).div_ceil(wide),
            1,
            1,
        ]);
        Ok(())
    }
}
