//! The options of a training run.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Remedy, Result};

/// The most tokens of a batch: places on the GPU are 32-bit.
const MOST_ROWS: usize = i32::MAX as usize;

/// The options of a training run: everything except its data and its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Sequences per batch.
    pub batch: usize,
    /// Tokens per sequence.
    pub context: usize,
    /// How parameters are updated.
    pub optimizer: Optimizer,
    /// The gradient norm, over all parameters, is clipped to this; 0 for never.
    pub clip: f64,
    /// The probability that a value of the embedding, or of what a sub-layer adds, is zeroed.
    pub dropout: f64,
    /// The seed of dropout and of the batches.
    pub seed: u64,
    /// Whether products take f16 copies of the matrices, while updates apply to those in f32:
    /// Micikevicius et al. 2018.
    #[serde(default)]
    pub mixed: bool,
}

/// How parameters are updated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// By the moving mean of gradients over the root of the moving mean of their squares.
    /// Loshchilov & Hutter 2019.
    AdamW {
        /// The decay rates of the two means.
        betas: [f64; 2],
        /// Epsilon: keeps the divisor from zero.
        eps: f64,
        /// Weight decay: how strongly matrices are pulled towards zero.
        decay: f64,
    },
    /// Against the gradient.
    Sgd,
}

impl Optimizer {
    /// How many tensors the device holds per parameter: itself, its gradient, and moments.
    pub(super) fn copies(self) -> usize {
        match self {
            Self::AdamW { .. } => 4,
            Self::Sgd => 2,
        }
    }
}

impl Default for TrainOptions {
    fn default() -> Self {
        let optimizer = Optimizer::AdamW { betas: [0.9, 0.95], eps: 1e-8, decay: 0.1 };
        Self { batch: 8, context: 256, optimizer, clip: 1.0, dropout: 0.0, seed: 0, mixed: false }
    }
}

impl TrainOptions {
    /// For a trained model: its weights are not pulled towards zero, and the squares of gradients are
    /// averaged over more steps, so that it stays close to what it is.
    #[must_use]
    pub fn fine_tuning() -> Self {
        let optimizer = Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, decay: 0.0 };
        Self { optimizer, ..Self::default() }
    }
}

/// Fails for options out of range.
pub(super) fn check(options: &TrainOptions, config: &Config) -> Result<()> {
    let &TrainOptions { batch, context, optimizer, clip, dropout, .. } = options;
    let input = |reason: String| Err(Error::Input(reason));
    if batch == 0 {
        return input("a batch needs at least one sequence".to_owned());
    }
    if context == 0 || context > config.context {
        return input(format!(
            "the context must be from 1 to the model's own {}, got {context}",
            config.context
        ));
    }
    if batch.checked_mul(context).is_none_or(|rows| rows > MOST_ROWS) {
        let reason =
            format!("a batch of {batch} sequences of {context} tokens is too large to count");
        return Err(Error::memory(reason, [Remedy::SmallerBatch]));
    }
    if !(0.0..1.0).contains(&dropout) {
        return input(format!("dropout must be from 0 to below 1, got {dropout}"));
    }
    if !(clip >= 0.0 && clip.is_finite()) {
        return input(format!("the norm to clip at must be 0 (never) or more, got {clip}"));
    }
    match optimizer {
        Optimizer::AdamW { betas, eps, decay } => {
            if !betas.iter().all(|beta| (0.0..1.0).contains(beta)) {
                return input(format!("both betas must be from 0 to below 1, got {betas:?}"));
            }
            if !(eps >= 0.0 && decay >= 0.0 && eps.is_finite() && decay.is_finite()) {
                return input(format!(
                    "epsilon and decay must be 0 or more, got {eps} and {decay}"
                ));
            }
        }
        Optimizer::Sgd => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_can_be_counted() {
        let config = Config { context: 256, ..Config::default() };
        let told = |batch| check(&TrainOptions { batch, ..TrainOptions::default() }, &config);
        assert!(told(MOST_ROWS / 256).is_ok());
        for batch in [MOST_ROWS / 256 + 1, usize::MAX, usize::MAX / 256 + 2] {
            let error = told(batch).unwrap_err();
            assert!(matches!(error, Error::Memory { .. }), "{error}");
            assert!(error.to_string().contains("256 tokens is too large to count"), "{error}");
        }
    }
}
