//! Sizes and settings that are known to work together.

use super::init::{Family, Sizes};
use super::options::{Optimizer, TrainOptions};
use super::schedule::Schedule;

/// Sizes of a new model, and settings that train it well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// 0.8 M parameters for characters: minutes on a CPU.
    Char,
    /// 10 M parameters for characters or a small tokenizer: for a GPU.
    CharLarge,
    /// GPT-2 small, 124 M parameters.
    Gpt2,
    /// A small Llama, 9 M parameters and those of the vocabulary: for a GPU.
    LlamaSmall,
}

impl Preset {
    /// The sizes of its model, except the vocabulary, which comes from the tokenizer.
    pub fn sizes(self, vocab: usize) -> Sizes {
        let of = |[layers, heads, width, context]: [usize; 4]| Sizes {
            layers,
            heads,
            width,
            context,
            vocab,
            ..Sizes::default()
        };
        match self {
            Self::Char => of([4, 4, 128, 64]),
            Self::CharLarge => of([6, 6, 384, 256]),
            Self::Gpt2 => of([12, 12, 768, 1024]),
            Self::LlamaSmall => {
                Sizes { family: Family::Llama, kv_heads: Some(2), ..of([6, 6, 384, 256]) }
            }
        }
    }

    /// How its parameters are updated.
    pub fn options(self) -> TrainOptions {
        let (batch, beta2, dropout) = match self {
            Self::Char => (12, 0.99, 0.0),
            Self::CharLarge => (64, 0.99, 0.2),
            Self::Gpt2 => (12, 0.95, 0.0),
            Self::LlamaSmall => (32, 0.95, 0.0),
        };
        TrainOptions {
            batch,
            context: self.sizes(0).context,
            optimizer: Optimizer::AdamW { betas: [0.9, beta2], eps: 1e-8, decay: 0.1 },
            dropout,
            ..TrainOptions::default()
        }
    }

    /// Batches whose gradients make one step.
    pub fn grad_accum(self) -> usize {
        if self == Self::Gpt2 { 40 } else { 1 }
    }

    /// Its steps, and the learning rate of each.
    pub fn schedule(self) -> Schedule {
        let (steps, peak_lr) = match self {
            Self::Char => (2000, 2e-3),
            Self::CharLarge => (5000, 1e-3),
            Self::Gpt2 => (600_000, 6e-4),
            Self::LlamaSmall => (20_000, 1e-3),
        };
        Schedule::new(steps, peak_lr)
    }
}
