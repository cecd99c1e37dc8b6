//! `layer_norm_center`: the first step of an unfused layer norm.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, same_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = x − mean, row by row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormCenter {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
    }
}

impl Op for LayerNormCenter {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { x, out } = self;
        same_shape("layer_norm_center", x, out)?;
        let params = Params { columns: to_u32(x.columns), stride: to_u32(x.stride() / 4) };
        let program = selection.reduce.apply(Program::new(kernel("layer_norm_center")));
        recording.dispatch(program, &params).read(0, x.buffer).write(0, out.buffer).grid([
            to_u32(x.rows),
            1,
            1,
        ]);
        Ok(())
    }
}
