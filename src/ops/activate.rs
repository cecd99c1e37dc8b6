//! `activate`: an MLP's activation function on its own, when it is not the epilogue of a linear
//! layer.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::activation::number;
use super::op::{Op, grid_1d, same_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// out = f(x).
#[derive(Clone, Copy, Debug)]
pub struct Activate {
    /// (T, F).
    pub x: Tensor,
    /// f.
    pub function: Nonlinearity,
    /// (T, F).
    pub out: Tensor,
}

params! {
    struct Params {
        vec4s: u32,
    }
}

impl Op for Activate {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, function, out } = self;
        same_shape("activate", x, out)?;
        let vec4s = x.rows * x.stride() / 4;
        let params = Params { vec4s: to_u32(vec4s) };
        let program = Program::new(kernel("activate"))
            .part(part("activation"))
            .constant("ACTIVATION", number(*function));
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid(grid_1d(vec4s.div_ceil(64)));
        Ok(())
    }
}
