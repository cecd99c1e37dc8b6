//! `linear_backward_w`: the derivative of y = x Wᵀ with respect to W.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, grid_1d, to_u32};
use crate::ops::weight::{Weight, WeightShard};
use crate::select::{KernelSelection, Matmul, kernel};

use super::gradient::plain;
use super::squares::{SQUARE, by_eights};

/// dW += dyᵀ x.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardW<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (T, C).
    pub x: Tensor,
    /// (N, C), f32.
    pub gradient: &'a Weight,
}

params! {
    struct Params {
        words: u32,
        dy_stride: u32,
        x_stride: u32,
        rows: u32,
        count: u32,
        first: u32,
        columns: u32,
    }
}

params! {
    struct TiledParams {
        words: u32,
        dy_stride: u32,
        x_stride: u32,
        rows: u32,
        count: u32,
        first: u32,
        columns: u32,
        share: u32,
    }
}

params! {
    struct ShareParams {
        vec4s: u32,
        shares: u32,
    }
}

/// The most rows that a share needs, whatever the matrix.
const LEAST_SHARE: usize = 128;

/// Enough workgroups to keep a large device busy.
const BUSY: usize = 1024;

/// The most values of all shares together: 64 MiB.
const MOST_SHARED: usize = 1 << 24;

/// The rows of each share when the gradient of an (outputs, inputs) matrix sums over rows: all of
/// them if the matrix itself keeps a device busy.
fn share_of(rows: usize, outputs: usize, inputs: usize) -> usize {
    let squares = outputs.div_ceil(SQUARE) * inputs.div_ceil(SQUARE);
    let most = (MOST_SHARED / (outputs * inputs).max(1)).min(rows.div_ceil(LEAST_SHARE));
    let shares = (BUSY / squares).min(most).max(1);
    rows.div_ceil(shares).next_multiple_of(32)
}

impl Op for LinearBackwardW<'_> {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        const OP: &str = "linear_backward_w";
        let Self { dy, x, gradient } = self;
        plain(OP, gradient)?;
        let fits = dy.columns == gradient.rows && x.columns == gradient.columns;
        check_shape(fits && dy.rows == x.rows, OP, || {
            format!(
                "dy is {} x {}, x {} x {}, {} {} x {}",
                dy.rows,
                dy.columns,
                x.rows,
                x.columns,
                gradient.name,
                gradient.rows,
                gradient.columns
            )
        })?;
        for piece in &gradient.shards {
            match selection.matmul {
                Matmul::Direct { n, t } => self.direct(recording, piece, [n, t]),
                Matmul::Tiled | Matmul::TiledF16 => self.tiled(recording, piece),
            }
        }
        Ok(())
    }
}

impl LinearBackwardW<'_> {
    /// Straight from storage.
    fn direct(&self, recording: &mut Recording, piece: &WeightShard, size: [u32; 2]) {
        let Self { dy, x, gradient } = self;
        let params = Params {
            words: gradient.words(),
            dy_stride: to_u32(dy.stride() / 4),
            x_stride: to_u32(x.stride() / 4),
            rows: to_u32(dy.rows),
            count: to_u32(piece.rows),
            first: to_u32(piece.first),
            columns: to_u32(gradient.columns),
        };
        let (program, grid) = by_eights("linear_backward_w", size, gradient.columns, piece.rows);
        recording
            .dispatch(program, &params)
            .read(0, dy.buffer)
            .read(0, x.buffer)
            .write(0, piece.planes[0])
            .weight_bytes(gradient.shard_bytes(piece))
            .grid(grid);
    }

    /// Through workgroup memory, and in shares of the rows if there are many.
    fn tiled(&self, recording: &mut Recording, piece: &WeightShard) {
        let Self { dy, x, gradient } = self;
        let share = share_of(dy.rows, piece.rows, gradient.columns);
        let shares = dy.rows.div_ceil(share);
        let params = TiledParams {
            words: gradient.words(),
            dy_stride: to_u32(dy.stride() / 4),
            x_stride: to_u32(x.stride() / 4),
            rows: to_u32(dy.rows),
            count: to_u32(piece.rows),
            first: to_u32(piece.first),
            columns: to_u32(gradient.columns),
            share: to_u32(share),
        };
        let plane = piece.planes[0];
        let out = match shares {
            1 => plane,
            _ => recording.tensor(shares * piece.rows, gradient.columns).buffer,
        };
        let squares = |size: usize| to_u32(size.div_ceil(SQUARE));
        let program = Program::new(kernel("linear_backward_w_tiled"));
        recording
            .dispatch(program.constant("SPLIT", shares > 1), &params)
            .read(0, dy.buffer)
            .read(0, x.buffer)
            .write(0, out)
            .weight_bytes(gradient.shard_bytes(piece))
            .grid([squares(gradient.columns), squares(piece.rows), to_u32(shares)]);
        if shares > 1 {
            let params = ShareParams { vec4s: params.count * params.words, shares: to_u32(shares) };
            recording
                .dispatch(Program::new(kernel("add_shares")), &params)
                .read(0, out)
                .write(0, plane)
                .grid(grid_1d(params.vec4s.div_ceil(64) as usize));
        }
    }
}
