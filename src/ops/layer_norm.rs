//! `layer_norm`: rows with mean 0 and variance 1.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor};

use super::norm::{Params, check};
use super::op::{Op, grid_1d};
use crate::select::{KernelSelection, kernel};

/// y = (x − mean) / √(var + ε) ⊙ gain + bias, row by row; without gain and bias if `affine` is
/// `None`.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// (T, C).
    pub x: Tensor,
    /// Gain and bias, (1, C) each.
    pub affine: Option<(Tensor, Tensor)>,
    /// ε.
    pub eps: f64,
    /// (T, C).
    pub out: Tensor,
}

impl Op for LayerNorm {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        const OP: &str = "layer_norm";
        let Self { x, affine, eps, out } = self;
        // Without a gain its slots hold x, which the kernel then does not touch.
        let (gain, bias) = affine.unwrap_or((*x, *x));
        check(OP, x, &[gain, bias], out)?;
        let program = selection.reduce.apply(Program::new(kernel(OP)));
        recording
            .dispatch(program.constant("GAIN", affine.is_some()), &Params::new(x, *eps))
            .read(0, x.buffer)
            .read(0, gain.buffer)
            .read(0, bias.buffer)
            .write(0, out.buffer)
            .weight_bytes(affine.map_or(0, |_| x.columns as u64 * 8))
            .grid(grid_1d(x.rows));
        Ok(())
    }
}
