//! `pos_embed`: the learned positions on their own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// The learned position vector of each row.
#[derive(Clone, Copy, Debug)]
pub struct PosEmbed {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Learned position vectors, (P, C).
    pub positions: Tensor,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        stride: u32,
    }
}

impl Op for PosEmbed {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, positions, out } = self;
        check_shape(out.columns == positions.columns, "pos_embed", || {
            format!("out has {} columns, the positions {}", out.columns, positions.columns)
        })?;
        let vec4s = out.stride() / 4;
        let params = Params { stride: to_u32(vec4s) };
        recording
            .dispatch(Program::new(kernel("pos_embed")), &params)
            .read(0, *rows)
            .read(0, positions.buffer)
            .write(0, out.buffer)
            .weight_bytes((out.rows * out.columns * 4) as u64)
            .grid([to_u32(vec4s.div_ceil(64)), to_u32(out.rows), 1]);
        Ok(())
    }
}
