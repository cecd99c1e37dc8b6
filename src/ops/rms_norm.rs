//! `rms_norm`: rows with a mean square of 1.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor};

use super::norm::{Params, check};
use super::op::{Op, grid_1d};
use crate::select::{KernelSelection, kernel};

/// y = x / √(mean(x²) + ε) ⊙ gain, row by row; without the gain if it is `None`.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// (T, C).
    pub x: Tensor,
    /// (1, C).
    pub gain: Option<Tensor>,
    /// ε.
    pub eps: f64,
    /// (T, C).
    pub out: Tensor,
}

impl Op for RmsNorm {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        const OP: &str = "rms_norm";
        let Self { x, gain, eps, out } = self;
        // Without a gain its slot holds x, which the kernel then ignores.
        let vector = gain.unwrap_or(*x);
        check(OP, x, &[vector], out)?;
        let program = selection.reduce.apply(Program::new(kernel(OP)));
        recording
            .dispatch(program.constant("GAIN", gain.is_some()), &Params::new(x, *eps))
            .read(0, x.buffer)
            .read(0, vector.buffer)
            .write(0, out.buffer)
            .weight_bytes(gain.map_or(0, |_| x.columns as u64 * 4))
            .grid(grid_1d(x.rows));
        Ok(())
    }
}
