//! What a run of training is like, but for its data.

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{Error, Result};

/// What a run of training is like, but for its data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainOptions {
    /// Sequences of a batch.
    pub batch: usize,
    /// Tokens of a sequence.
    pub context: usize,
    /// How parameters move.
    pub optimizer: Optimizer,
    /// Gradients longer than this, all taken together, are made as long; 0 for never.
    pub clip: f64,
    /// How likely a value of the embedding, or of what a sub-layer adds, is to become zero.
    pub dropout: f64,
    /// Decides what is dropped.
    pub seed: u64,
    /// Whether products take matrices as half floats, made from those in f32 that move: Micikevicius
    /// et al. 2018.
    #[serde(default)]
    pub mixed: bool,
}

/// How parameters move.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// By the moving mean of gradients over the root of that of their squares. Loshchilov & Hutter
    /// 2019.
    AdamW {
        /// How slowly the two means move.
        betas: [f64; 2],
        /// What keeps the divisor from zero.
        eps: f64,
        /// How strongly matrices are pulled towards zero.
        decay: f64,
    },
    /// Against the gradient.
    Sgd,
}

impl Optimizer {
    /// How often the device holds every parameter: itself, its gradient, and moments.
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

/// Fails for options that cannot be.
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
    if !(0.0..1.0).contains(&dropout) {
        return input(format!("dropout must be from 0 to below 1, got {dropout}"));
    }
    if !(clip >= 0.0 && clip.is_finite()) {
        return input(format!("the length to clip at must be 0 (never) or more, got {clip}"));
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
