//! `layer_norm`: rows with mean 0 and variance 1.

use crate::error::Result;
use crate::gpu::{Recording, Tensor};

use super::choices::Choices;
use super::norm::{check, dispatch};
use super::op::Op;

/// y = (x − mean) / √(var + ε) ⊙ gain + bias, row by row; without gain and bias if they are left out.
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
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        // Where there is no gain, the slots are filled with x, which the kernel then does not touch.
        let (gain, bias) = self.affine.unwrap_or((self.x, self.x));
        check("layer_norm", &self.x, &[gain, bias], &self.out)?;
        let has = self.affine.is_some();
        recording.push(dispatch(
            "layer_norm",
            choices,
            &self.x,
            self.eps,
            &[gain, bias],
            has,
            &self.out,
        ));
        Ok(())
    }
}
