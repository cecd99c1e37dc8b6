//! `gated_backward`: the derivative of a gated MLP's product.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::activation::number;
use crate::ops::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

/// Of y = f(gate) ⊙ up: dgate = dy ⊙ up ⊙ f′(gate), dup = dy ⊙ f(gate).
#[derive(Clone, Copy, Debug)]
pub struct GatedBackward {
    /// Gate and up, alternating, (T, 2F).
    pub both: Tensor,
    /// (T, F).
    pub dy: Tensor,
    /// f.
    pub function: Nonlinearity,
    /// The gradients of both, alternating, (T, 2F).
    pub out: Tensor,
}

params! {
    struct Params {
        vec4s: u32,
        stride: u32,
        dy_stride: u32,
    }
}

impl Op for GatedBackward {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { both, dy, function, out } = self;
        let shape = |tensor: &Tensor| (tensor.rows, tensor.columns);
        let fits = shape(both) == shape(out) && shape(both) == (dy.rows, 2 * dy.columns);
        check_shape(fits, "gated_backward", || {
            format!("both are {:?}, dy {:?}, out {:?}", shape(both), shape(dy), shape(out))
        })?;
        let vec4s = both.columns.div_ceil(4);
        let params = Params {
            vec4s: to_u32(vec4s),
            stride: to_u32(both.stride() / 4),
            dy_stride: to_u32(dy.stride() / 2),
        };
        let program = Program::new(kernel("gated_backward"))
            .part(part("activation"))
            .constant("ACTIVATION", number(*function));
        recording
            .dispatch(program, &params)
            .read(0, both.buffer)
            .read(0, dy.buffer)
            .write(0, out.buffer)
            .grid([to_u32(vec4s.div_ceil(64)), to_u32(both.rows), 1]);
        Ok(())
    }
}
