//! `attention_result`: the output of each head on its own.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use super::weight::Weight;
use crate::select::{KernelSelection, kernel};

/// For each head, its part of z times its columns of the output projection.
#[derive(Clone, Copy, Debug)]
pub struct AttentionResult<'a> {
    /// (T, H·D).
    pub z: Tensor,
    /// (C, H·D).
    pub weight: &'a Weight,
    /// H: heads.
    pub heads: usize,
    /// (T, H·C).
    pub out: Tensor,
}

params! {
    struct Params {
        words: u32,
        z_stride: u32,
        out_stride: u32,
        head_width: u32,
        columns: u32,
        count: u32,
        first: u32,
    }
}

impl Op for AttentionResult<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { z, weight, heads, out } = self;
        let op = "attention_result";
        check_shape(z.columns == weight.columns && z.columns.is_multiple_of(*heads), op, || {
            format!(
                "{heads} heads in {} columns of z and {} of {}",
                z.columns, weight.columns, weight.name
            )
        })?;
        check_shape((out.rows, out.columns) == (z.rows, heads * weight.rows), op, || {
            format!("out is {} x {} for {heads} x {}", out.rows, out.columns, weight.rows)
        })?;
        for piece in &weight.shards {
            let params = Params {
                words: weight.words(),
                z_stride: to_u32(z.stride() / 4),
                out_stride: to_u32(out.stride()),
                head_width: to_u32(z.columns / heads),
                columns: to_u32(weight.rows),
                count: to_u32(piece.rows),
                first: to_u32(piece.first),
            };
            recording
                .dispatch(weight.decode(Program::new(kernel(op))), &params)
                .read(0, z.buffer)
                .write(0, out.buffer)
                .bind(1, Weight::bindings(piece))
                .weight_bytes(weight.shard_bytes(piece))
                .grid([to_u32(piece.rows.div_ceil(64)), to_u32(z.rows), to_u32(*heads)]);
        }
        Ok(())
    }
}
