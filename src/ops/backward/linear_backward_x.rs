//! `linear_backward_x`: the derivative of y = x Wᵀ with respect to x.

use crate::error::Result;
use crate::format::Format;
use crate::gpu::{Grid, Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::ops::weight::Weight;
use crate::select::{KernelSelection, Matmul, kernel};

use super::squares::{SQUARE, by_eights};

/// dx = dy W, for some rows of dx.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardX<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (N, C), f32 or f16.
    pub weight: &'a Weight,
    /// (R, C), of which T rows are written.
    pub out: Tensor,
    /// The first of these rows.
    pub first: usize,
    /// Whether the result is added to them.
    pub add: bool,
}

params! {
    struct Params {
        words: u32,
        dy_stride: u32,
        dx_stride: u32,
        rows: u32,
        count: u32,
        first: u32,
        row: u32,
        columns: u32,
    }
}

impl Op for LinearBackwardX<'_> {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        const OP: &str = "linear_backward_x";
        let Self { dy, weight, out, first, add } = self;
        check_shape(matches!(weight.format, Format::F32 | Format::F16), OP, || {
            format!("{} is {}, not f32 or f16", weight.name, weight.format)
        })?;
        check_shape(dy.columns == weight.rows && out.columns == weight.columns, OP, || {
            format!(
                "dy has {} columns, out {}, {} is {} x {}",
                dy.columns, out.columns, weight.name, weight.rows, weight.columns
            )
        })?;
        check_shape(first + dy.rows <= out.rows, OP, || {
            format!("rows {first} to {} of {}", first + dy.rows, out.rows)
        })?;
        for (index, piece) in weight.shards.iter().enumerate() {
            let params = Params {
                words: weight.words(),
                dy_stride: to_u32(dy.stride() / 4),
                dx_stride: to_u32(out.stride() / 4),
                rows: to_u32(dy.rows),
                count: to_u32(piece.rows),
                first: to_u32(piece.first),
                row: to_u32(*first),
                columns: to_u32(weight.columns),
            };
            let (program, grid) = match selection.matmul {
                Matmul::Direct { n, t } => {
                    by_eights("linear_backward_x", [n, t], weight.columns, dy.rows)
                }
                Matmul::Tiled | Matmul::TiledF16 => {
                    let columns = weight.columns.div_ceil(SQUARE);
                    let tile = selection.tile(dy.rows, weight.columns);
                    let program = Program::new(kernel("linear_backward_x_tiled"));
                    let rows = to_u32(dy.rows.div_ceil(8 * tile));
                    let program = program.constant("TILE", tile as f64);
                    (program, Grid::Fixed([to_u32(columns), rows, 1]))
                }
            };
            let add = *add || index > 0;
            recording
                .dispatch(weight.decode(program.constant("ADD", add)), &params)
                .read(0, dy.buffer)
                .write(0, out.buffer)
                .bind(1, Weight::bindings(piece))
                .weight_bytes(weight.shard_bytes(piece))
                .grid(grid);
        }
        Ok(())
    }
}
