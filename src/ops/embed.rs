//! `embed`: tokens to vectors.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use super::weight::Weight;
use crate::select::{KernelSelection, kernel};

/// `out_t = scale · E[token_t] (+ P[position_t])`.
#[derive(Clone, Copy, Debug)]
pub struct Embed<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (V, C).
    pub table: &'a Weight,
    /// The factor of its rows, if there is one.
    pub scale: Option<f32>,
    /// Learned position vectors, (P, C).
    pub positions: Option<Tensor>,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        words: u32,
        stride: u32,
        first: u32,
        count: u32,
    }
}

impl Op for Embed<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, table, scale, positions, out } = self;
        check_shape(out.columns == table.columns, "embed", || {
            format!("out has {} columns, {} has {}", out.columns, table.name, table.columns)
        })?;
        check_shape(positions.is_none_or(|p| p.columns == table.columns), "embed", || {
            format!("the positions do not have the {} columns of {}", table.columns, table.name)
        })?;
        for piece in &table.shards {
            let params = Params {
                words: table.words(),
                stride: to_u32(out.stride() / 4),
                first: to_u32(piece.first),
                count: to_u32(piece.rows),
            };
            // Without learned positions their slot holds the table, which the kernel then does not touch.
            let table_buffer = piece.planes[0];
            let program = table
                .decode(Program::new(kernel("embed")))
                .constant("LEARNED", positions.is_some());
            let program = match scale {
                Some(scale) => program.constant("SCALE", *scale),
                None => program,
            };
            recording
                .dispatch(program, &params)
                .read(0, *rows)
                .read(0, positions.map_or(table_buffer, |p| p.buffer))
                .write(0, out.buffer)
                .bind(1, Weight::bindings(piece))
                .weight_bytes(
                    (table.bytes() / table.rows as u64) * out.rows as u64
                        / table.shards.len() as u64,
                )
                .grid([params.words.div_ceil(64), to_u32(out.rows), 1]);
        }
        Ok(())
    }
}
