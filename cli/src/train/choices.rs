//! The values of `train`'s flags: presets, families, decay shapes and optimizers.

use clap::ValueEnum;
use pellucid::train::{self, Family, Optimizer};
use serde::{Deserialize, Serialize};

use super::settings::Settings;

/// The names of `--preset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// 0.8 M parameters for characters: minutes on a CPU
    Char,
    /// 10 M parameters for characters or a small tokenizer: for a GPU
    CharLarge,
    /// GPT-2 small, 124 M parameters
    Gpt2,
    /// A small Llama, 9 M parameters plus the embedding: for a GPU
    LlamaSmall,
}

/// The families of `--family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FamilyName {
    /// GPT-2
    Gpt2,
    /// GPT-2 without MLPs
    Gpt2AttnOnly,
    /// Llama
    Llama,
}

/// The names of `--decay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DecayName {
    /// No decay
    Constant,
    /// Linear, over all remaining steps
    Linear,
    /// Half a cosine, over all remaining steps
    Cosine,
    /// Warm-up, stable, decay: constant, then linear over --decay-steps
    Wsd,
}

/// The names of `--optimizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OptimizerName {
    /// Adam with decoupled weight decay
    Adamw,
    /// Plain gradient descent, without moments
    Sgd,
}

/// The names of `--loss-on`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LossOn {
    /// The assistant's messages, up to the token that ends them
    Answers,
    /// Every token
    All,
}

impl Preset {
    /// The library's name for it.
    fn preset(self) -> train::Preset {
        match self {
            Self::Char => train::Preset::Char,
            Self::CharLarge => train::Preset::CharLarge,
            Self::Gpt2 => train::Preset::Gpt2,
            Self::LlamaSmall => train::Preset::LlamaSmall,
        }
    }

    /// The settings that it fixes.
    pub(super) fn settings(self) -> Settings {
        let preset = self.preset();
        let (sizes, options, schedule) = (preset.sizes(0), preset.options(), preset.schedule());
        Settings {
            family: (sizes.family == Family::Llama).then_some(FamilyName::Llama),
            layers: Some(sizes.layers),
            heads: Some(sizes.heads),
            kv_heads: sizes.kv_heads,
            width: Some(sizes.width),
            context: Some(sizes.context),
            batch: Some(options.batch),
            grad_accum: Some(preset.grad_accum()),
            steps: Some(schedule.steps),
            lr: Some(schedule.peak_lr),
            beta2: match options.optimizer {
                Optimizer::AdamW { betas: [_, beta2], .. } => Some(beta2),
                Optimizer::Sgd => None,
            },
            dropout: Some(options.dropout),
            ..Settings::default()
        }
    }
}
