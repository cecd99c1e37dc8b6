//! `gain_bias`: a norm's gain and bias on their own.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, check_shape, grid_vec4, same_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = x ⊙ gain + bias.
#[derive(Clone, Copy, Debug)]
pub struct GainBias {
    /// (T, C).
    pub x: Tensor,
    /// (1, C).
    pub gain: Tensor,
    /// (1, C).
    pub bias: Option<Tensor>,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        stride: u32,
    }
}

impl Op for GainBias {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, gain, bias, out } = self;
        same_shape("gain_bias", x, out)?;
        // Without a bias its slot holds the gain, which the kernel then ignores.
        let vectors = [*gain, bias.unwrap_or(*gain)];
        for vector in vectors {
            check_shape(vector.columns == x.columns, "gain_bias", || {
                format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
            })?;
        }
        let read = if bias.is_some() { 2 } else { 1 };
        let params = Params { stride: to_u32(x.stride() / 4) };
        let program = Program::new(kernel("gain_bias")).constant("BIAS", bias.is_some());
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            .read(0, vectors[0].buffer)
            .read(0, vectors[1].buffer)
            .write(0, out.buffer)
            .weight_bytes(read * x.columns as u64 * 4)
            .grid(grid_vec4(x));
        Ok(())
    }
}
