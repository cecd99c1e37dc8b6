//! `rms_norm`: rows with a mean square of 1.

use crate::error::Result;
use crate::gpu::{Recording, Tensor};

use super::choices::Choices;
use super::norm::{check, dispatch};
use super::op::Op;

/// y = x / √(mean(x²) + ε) ⊙ gain, row by row; without the gain if it is left out.
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
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let gain = self.gain.unwrap_or(self.x);
        check("rms_norm", &self.x, &[gain], &self.out)?;
        let has = self.gain.is_some();
        recording.push(dispatch("rms_norm", choices, &self.x, self.eps, &[gain], has, &self.out));
        Ok(())
    }
}
