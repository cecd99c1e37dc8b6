//! `add`: the residual stream's sum on its own.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, same_shape, spread, word};

/// out = out + x.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        fours: u32,
    }
}

impl Op for Add {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, out } = self;
        same_shape("add", x, out)?;
        let fours = x.rows * x.stride() / 4;
        let params = Params { fours: word(fours) };
        recording
            .dispatch(Program::new(kernel("add")), &params)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid(spread(fours.div_ceil(64)));
        Ok(())
    }
}
