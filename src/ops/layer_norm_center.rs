//! `layer_norm_center`: the first step of a layer norm, where its result has a name.

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, same_shape, word};

/// out = x − mean, row by row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormCenter {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

impl Op for LayerNormCenter {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, out } = self;
        same_shape("layer_norm_center", x, out)?;
        let params = [word(x.columns), word(x.stride() / 4), 0, 0];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("layer_norm_center"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(x.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
