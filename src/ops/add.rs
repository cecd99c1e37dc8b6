//! `add`: the residual stream's sum on its own.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::kept::{keeping, kept_binding};
use super::op::{Op, grid_1d, same_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = out + x; `kept` gets the sum too.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
    /// (T, C): the sum for a reader, if `out` changes again before it is read.
    pub kept: Option<Tensor>,
}

params! {
    struct Params {
        vec4s: u32,
    }
}

impl Op for Add {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, out, kept } = self;
        same_shape("add", x, out)?;
        kept.iter().try_for_each(|kept| same_shape("add", kept, out))?;
        let vec4s = x.rows * x.stride() / 4;
        let params = Params { vec4s: to_u32(vec4s) };
        recording
            .dispatch(keeping(Program::new(kernel("add")), *kept), &params)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .bind(3, kept_binding(*kept))
            .grid(grid_1d(vec4s.div_ceil(64)));
        Ok(())
    }
}
