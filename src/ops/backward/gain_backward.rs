//! `gain_backward`: the derivative of a norm with respect to its gain; for its bias there is
//! `bias_backward`.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

use super::column_sum::shares;

/// dgain += Σ dy ⊙ n over the rows, n being the normalized values that the gain multiplied.
#[derive(Clone, Copy, Debug)]
pub struct GainBackward {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub dy: Tensor,
    /// As [`NormBackward`](super::NormBackward) writes them, (T, 2).
    pub stats: Tensor,
    /// (1, C).
    pub out: Tensor,
}

params! {
    struct Params {
        rows: u32,
        stride: u32,
        columns: u32,
        stats_stride: u32,
    }
}

impl Op for GainBackward {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { x, dy, stats, out } = self;
        let fits = (x.rows, x.columns) == (dy.rows, dy.columns) && out.columns == x.columns;
        check_shape(fits && (stats.rows, stats.columns) == (x.rows, 2), "gain_backward", || {
            format!(
                "x is {} x {}, dy {} x {}, the gain {}, the statistics {} x {}",
                x.rows, x.columns, dy.rows, dy.columns, out.columns, stats.rows, stats.columns
            )
        })?;
        let [wide, high] = shares(selection, x.rows);
        let params = Params {
            rows: to_u32(x.rows),
            stride: to_u32(x.stride() / 4),
            columns: to_u32(x.columns),
            stats_stride: to_u32(stats.stride()),
        };
        let program = Program::new(kernel("gain_backward"))
            .part(part("column_sum"))
            .constant("WG_N", wide)
            .constant("WG_T", high);
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            .read(0, dy.buffer)
            .read(0, stats.buffer)
            .write(0, out.buffer)
            .grid([to_u32(x.columns.div_ceil(4)).div_ceil(wide), 1, 1]);
        Ok(())
    }
}
