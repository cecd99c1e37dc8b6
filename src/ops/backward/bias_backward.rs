//! `bias_backward`: the derivative of y = x Wᵀ + b by b.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
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

impl Op for BiasBackward {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { dy, out } = self;
        ensure((out.rows, out.columns) == (1, dy.columns), "bias_backward", || {
            format!("dy has {} columns, the bias is {} x {}", dy.columns, out.rows, out.columns)
        })?;
        let [wide, high] = shares(choices, dy.rows);
        recording.push(Dispatch {
            program: Program::new(kernel("bias_backward"))
                .constant("WG_N", wide)
                .constant("WG_T", high),
            params: bytemuck::bytes_of(&[
                word(dy.rows),
                word(dy.stride() / 4),
                word(dy.columns),
                0,
            ])
            .to_vec(),
            groups: vec![vec![Binding::Read(dy.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(dy.columns.div_ceil(4)).div_ceil(wide), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
