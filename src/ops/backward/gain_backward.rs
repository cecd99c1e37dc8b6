//! `gain_backward`: the derivative of a norm by its gain; that by its bias is `bias_backward`.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, ensure, word};

use super::column_sum::shares;

/// dgain += Σ dy ⊙ n over the rows, n being what the gain was multiplied with.
#[derive(Clone, Copy, Debug)]
pub struct GainBackward {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub dy: Tensor,
    /// As the norm's derivative leaves them, (T, 2).
    pub stats: Tensor,
    /// (1, C).
    pub out: Tensor,
}

impl Op for GainBackward {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, dy, stats, out } = self;
        let fits = (x.rows, x.columns) == (dy.rows, dy.columns) && out.columns == x.columns;
        ensure(fits && (stats.rows, stats.columns) == (x.rows, 2), "gain_backward", || {
            format!(
                "x is {} x {}, dy {} x {}, the gain {}, the statistics {} x {}",
                x.rows, x.columns, dy.rows, dy.columns, out.columns, stats.rows, stats.columns
            )
        })?;
        let [wide, high] = shares(choices, x.rows);
        let params = [word(x.rows), word(x.stride() / 4), word(x.columns), word(stats.stride())];
        recording.push(Dispatch {
            program: Program::new(kernel("gain_backward"))
                .constant("WG_N", wide)
                .constant("WG_T", high),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(x.buffer),
                Binding::Read(dy.buffer),
                Binding::Read(stats.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(x.columns.div_ceil(4)).div_ceil(wide), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
