//! `pos_embed`: the learned positions on their own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

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
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, positions, out } = self;
        ensure(out.columns == positions.columns, "pos_embed", || {
            format!("out has {} columns, the positions {}", out.columns, positions.columns)
        })?;
        let fours = out.stride() / 4;
        let params = Params { stride: word(fours) };
        recording
            .dispatch(Program::new(kernel("pos_embed")), &params)
            .read(0, *rows)
            .read(0, positions.buffer)
            .write(0, out.buffer)
            .weight_bytes((out.rows * out.columns * 4) as u64)
            .grid([word(fours.div_ceil(64)), word(out.rows), 1]);
        Ok(())
    }
}
