//! `activate_backward`: the derivative of an MLP's activation function.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::activation::number;
use crate::ops::op::{Op, check_shape, grid_1d, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// dx = dy ⊙ f′(x).
#[derive(Clone, Copy, Debug)]
pub struct ActivateBackward {
    /// (T, F).
    pub x: Tensor,
    /// (T, F).
    pub dy: Tensor,
    /// f.
    pub function: Nonlinearity,
    /// dx, (T, F).
    pub out: Tensor,
}

params! {
    struct Params {
        vec4s: u32,
    }
}

impl Op for ActivateBackward {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, dy, function, out } = self;
        let shape = |tensor: &Tensor| (tensor.rows, tensor.columns);
        check_shape(shape(x) == shape(dy) && shape(x) == shape(out), "activate_backward", || {
            format!("x is {:?}, dy {:?}, out {:?}", shape(x), shape(dy), shape(out))
        })?;
        let vec4s = x.rows * x.stride() / 4;
        let params = Params { vec4s: to_u32(vec4s) };
        let program = Program::new(kernel("activate_backward"))
            .part(part("activation"))
            .constant("ACTIVATION", number(*function));
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            .read(0, dy.buffer)
            .write(0, out.buffer)
            .grid(grid_1d(vec4s.div_ceil(64)));
        Ok(())
    }
}
