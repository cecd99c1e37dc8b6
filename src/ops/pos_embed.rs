//! `pos_embed`: the learned positions on their own.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

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

impl Op for PosEmbed {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, positions, out } = self;
        ensure(out.columns == positions.columns, "pos_embed", || {
            format!("out has {} columns, the positions {}", out.columns, positions.columns)
        })?;
        let fours = out.stride() / 4;
        recording.push(Dispatch {
            program: Program::new(kernel("pos_embed")),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![vec![
                Binding::Read(*rows),
                Binding::Read(positions.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(fours.div_ceil(64)), word(out.rows), 1]),
            weight_bytes: (out.rows * out.columns * 4) as u64,
        });
        Ok(())
    }
}
