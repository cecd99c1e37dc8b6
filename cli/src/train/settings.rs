//! The settings of a training run: flags, a TOML file of the same names, and presets.

use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::format::Format;
use pellucid::train::{Decay, Family, Optimizer, Schedule, Sizes, TrainOptions};
use pellucid::{Error, Result};
use serde::{Deserialize, Serialize};

use super::choices::{DecayName, FamilyName, OptimizerName, Preset};

/// Everything that a run depends on, except for the device. What is not set comes from the preset,
/// or has a default.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Files to train on: UTF-8 text, or token ids if the name ends in .bin
    #[arg(value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) data: Vec<PathBuf>,
    /// Validate on this file instead of a part of the training data
    #[arg(long, value_name = "FILE", help_heading = DATA)]
    pub(crate) val_data: Option<PathBuf>,
    /// Fraction of the data, taken from its end, to hold out for validation [default: 0.1]
    #[arg(long, value_name = "FRACTION", help_heading = DATA)]
    pub(crate) val_fraction: Option<f64>,
    /// Tokenizer (tokenizer.json) for a new model [default: the characters of the data]
    #[arg(long, value_name = "FILE", help_heading = DATA)]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Fine-tune this model instead of training a new one
    #[arg(long, value_name = "MODEL", help_heading = MODEL)]
    pub(crate) from: Option<PathBuf>,
    /// Model sizes and hyperparameters that work well together
    ///
    /// Other options override the preset.
    #[arg(long, value_name = "NAME", help_heading = MODEL)]
    pub(crate) preset: Option<Preset>,
    /// Architecture of the new model [default: gpt2]
    #[arg(long, value_name = "FAMILY", help_heading = MODEL)]
    pub(crate) family: Option<FamilyName>,
    /// Number of layers
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) layers: Option<usize>,
    /// Number of query heads
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) heads: Option<usize>,
    /// Number of key/value heads, with --family llama [default: the same as --heads]
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) kv_heads: Option<usize>,
    /// Width of the residual stream
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) width: Option<usize>,
    /// Hidden width of the MLP [default: 4 times --width, or 8/3 times for a gated MLP]
    #[arg(long, value_name = "N", help_heading = MODEL)]
    pub(crate) hidden: Option<usize>,
    /// Give the output head its own weights instead of the embedding's
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        help_heading = MODEL)]
    pub(crate) untied: Option<bool>,
    /// Tokens per sequence [default with --from: the model's own, at most 256]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) context: Option<usize>,
    /// Sequences per batch [default: 8]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) batch: Option<usize>,
    /// Batches whose gradients are accumulated for one step [default: 1]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) grad_accum: Option<usize>,
    /// Number of optimiser steps
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) steps: Option<u64>,
    /// Dropout probability, for the embedding and the output of each sub-layer [default: 0]
    #[arg(long, value_name = "P", help_heading = TRAINING)]
    pub(crate) dropout: Option<f64>,
    /// Use f16 copies of the weight matrices in matrix products
    ///
    /// The f32 master weights are what the optimiser updates and what is saved. Each step reads
    /// half as many bytes of weights and needs a little more memory.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        help_heading = TRAINING)]
    pub(crate) mixed: Option<bool>,
    /// Seed for the initial weights, the order of the data and dropout [default: 0]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) seed: Option<u64>,
    /// Peak learning rate [default: 1e-3]
    #[arg(long, value_name = "LR", help_heading = OPTIMISER)]
    pub(crate) lr: Option<f64>,
    /// Learning rate at the end of the decay [default: a tenth of --lr]
    #[arg(long, value_name = "LR", help_heading = OPTIMISER)]
    pub(crate) min_lr: Option<f64>,
    /// Steps of linear warm-up [default: a twentieth of --steps]
    #[arg(long, value_name = "N", help_heading = OPTIMISER)]
    pub(crate) warmup: Option<u64>,
    /// Shape of the learning rate's decay after warm-up [default: cosine]
    #[arg(long, value_name = "SHAPE", help_heading = OPTIMISER)]
    pub(crate) decay: Option<DecayName>,
    /// Length of the final decay, with --decay wsd [default: a fifth of --steps]
    #[arg(long, value_name = "N", help_heading = OPTIMISER)]
    pub(crate) decay_steps: Option<u64>,
    /// Optimiser [default: adamw]
    #[arg(long, value_name = "NAME", help_heading = OPTIMISER)]
    pub(crate) optimizer: Option<OptimizerName>,
    /// Decay rate of adamw's mean of gradients [default: 0.9]
    #[arg(long, value_name = "BETA", help_heading = OPTIMISER)]
    pub(crate) beta1: Option<f64>,
    /// Decay rate of adamw's mean of squared gradients [default: 0.95]
    #[arg(long, value_name = "BETA", help_heading = OPTIMISER)]
    pub(crate) beta2: Option<f64>,
    /// Weight decay of adamw, applied to matrices only [default: 0.1]
    #[arg(long, value_name = "DECAY", help_heading = OPTIMISER)]
    pub(crate) weight_decay: Option<f64>,
    /// Clip gradients to this global norm; 0 disables clipping [default: 1]
    #[arg(long, value_name = "NORM", help_heading = OPTIMISER)]
    pub(crate) clip: Option<f64>,
    /// Evaluate on the validation data every N steps [default: a tenth of --steps]
    #[arg(long, value_name = "N", help_heading = EVALUATION)]
    pub(crate) eval_every: Option<u64>,
    /// Use at most N batches for an evaluation [default: all]
    #[arg(long, value_name = "N", help_heading = EVALUATION)]
    pub(crate) eval_batches: Option<usize>,
    /// Save a checkpoint every N steps [default: the same as --eval-every]
    #[arg(long, value_name = "N", help_heading = EVALUATION)]
    pub(crate) save_every: Option<u64>,
    /// Print a continuation of this text at each checkpoint
    #[arg(long, value_name = "TEXT", help_heading = EVALUATION)]
    pub(crate) sample: Option<String>,
    /// Write model/ in f16, at half the size
    #[arg(long = "f16", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        help_heading = OUTPUT)]
    #[serde(rename = "f16")]
    pub(crate) half: Option<bool>,
}

/// The headings of `--help`.
const DATA: &str = "Data";
const MODEL: &str = "Model";
const TRAINING: &str = "Training";
const OPTIMISER: &str = "Optimiser";
const EVALUATION: &str = "Evaluation and checkpoints";
pub(super) const OUTPUT: &str = "Output";

/// Takes each field from the first that has it.
macro_rules! first {
    ($a:expr, $b:expr; $($field:ident),*) => {
        Settings {
            data: if $a.data.is_empty() { $b.data } else { $a.data },
            $($field: $a.$field.or($b.$field)),*
        }
    };
}

impl Settings {
    /// These settings; those that are not set are taken from `other`.
    fn or(self, other: Self) -> Self {
        first!(self, other; val_data, val_fraction, tokenizer, from, preset, family, layers, heads,
            kv_heads, width, hidden, untied, context, batch, grad_accum, steps, dropout, mixed, seed, lr,
            min_lr, warmup, decay, decay_steps, optimizer, beta1, beta2, weight_decay, clip, eval_every,
            eval_batches, save_every, sample, half)
    }

    /// Reads a TOML file whose names are those of the flags.
    fn read(path: &Path) -> Result<Self> {
        let text = crate::input::file(path)?;
        toml::from_str(&text)
            .map_err(|error| Error::file(path, error.to_string().trim().to_owned()))
    }

    /// These settings; those that are not set are taken from the file, then from the preset.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn complete(self, file: Option<&Path>) -> Result<Self> {
        let given = match file {
            Some(path) => self.or(Self::read(path)?),
            None => self,
        };
        let preset = given.preset.map(Preset::settings).unwrap_or_default();
        Ok(given.or(preset))
    }

    /// The names of the settings that differ from `before`.
    pub(crate) fn differ(&self, before: &Self) -> Vec<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (own, before) = (fields(self), fields(before));
        let set = own.into_iter().filter(|(_, value)| !value.is_null());
        set.filter(|(name, value)| before.get(name) != Some(value)).map(|(name, _)| name).collect()
    }

    /// The options of the trainer.
    pub(crate) fn options(&self, context: usize) -> TrainOptions {
        let optimizer = match self.optimizer.unwrap_or(OptimizerName::Adamw) {
            OptimizerName::Sgd => Optimizer::Sgd,
            OptimizerName::Adamw => Optimizer::AdamW {
                betas: [self.beta1.unwrap_or(0.9), self.beta2.unwrap_or(0.95)],
                eps: 1e-8,
                decay: self.weight_decay.unwrap_or(0.1),
            },
        };
        TrainOptions {
            batch: self.batch.unwrap_or(8),
            context,
            optimizer,
            clip: self.clip.unwrap_or(1.0),
            dropout: self.dropout.unwrap_or(0.0),
            seed: self.seed.unwrap_or(0),
            mixed: self.mixed.unwrap_or(false),
        }
    }

    /// The learning rate of each step.
    ///
    /// # Errors
    /// [`Error::Input`] without a number of steps, and for invalid learning rates.
    pub(crate) fn schedule(&self) -> Result<Schedule> {
        let steps = self
            .steps
            .filter(|steps| *steps > 0)
            .ok_or_else(|| Error::Input("give --steps, 1 or more, or a --preset".to_owned()))?;
        let usual = Schedule::new(steps, self.lr.unwrap_or(1e-3));
        let (lr, min_lr) = (usual.peak_lr, self.min_lr.unwrap_or(usual.min_lr));
        if !(lr > 0.0 && lr.is_finite() && (0.0..=lr).contains(&min_lr)) {
            return Err(Error::Input(format!(
                "--lr must be above 0 and --min-lr between 0 and --lr, got {lr} and {min_lr}"
            )));
        }
        Ok(Schedule {
            warmup: self.warmup.unwrap_or(usual.warmup),
            min_lr,
            decay: match self.decay.unwrap_or(DecayName::Cosine) {
                DecayName::Constant => Decay::Constant,
                DecayName::Linear => Decay::Linear,
                DecayName::Cosine => Decay::Cosine,
                DecayName::Wsd => Decay::Wsd,
            },
            decay_steps: self.decay_steps.unwrap_or(usual.decay_steps),
            ..usual
        })
    }

    /// The sizes of a new model, except for its vocabulary.
    ///
    /// # Errors
    /// [`Error::Input`] if one is missing.
    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let need = |value: Option<usize>, name: &str| {
            value.filter(|value| *value > 0).ok_or_else(|| {
                Error::Input(format!(
                    "a new model needs --{name}, or a --preset; --from fine-tunes an existing model"
                ))
            })
        };
        Ok(Sizes {
            family: match self.family.unwrap_or(FamilyName::Gpt2) {
                FamilyName::Gpt2 => Family::Gpt2,
                FamilyName::Gpt2AttnOnly => Family::Gpt2AttnOnly,
                FamilyName::Llama => Family::Llama,
            },
            layers: self.layers.map_or_else(|| need(None, "layers"), Ok)?,
            heads: need(self.heads, "heads")?,
            kv_heads: self.kv_heads,
            width: need(self.width, "width")?,
            hidden: self.hidden,
            context: need(self.context, "context")?,
            vocab: 0,
            untied: self.untied.unwrap_or(false),
        })
    }

    /// Fails for sizes next to `--from`, whose model has its own.
    ///
    /// # Errors
    /// [`Error::Input`], naming them.
    pub(crate) fn check_from(&self) -> Result<()> {
        let sizes = [
            ("family", self.family.is_some()),
            ("layers", self.layers.is_some()),
            ("heads", self.heads.is_some()),
            ("kv-heads", self.kv_heads.is_some()),
            ("width", self.width.is_some()),
            ("hidden", self.hidden.is_some()),
            ("untied", self.untied.is_some()),
            ("tokenizer", self.tokenizer.is_some()),
        ];
        match sizes.iter().find(|(_, given)| *given) {
            Some((name, _)) if self.from.is_some() => Err(Error::Input(format!(
                "--{name} is for a new model; the model of --from has its own"
            ))),
            _ => Ok(()),
        }
    }

    /// The format in which the model is written.
    pub(crate) fn format(&self) -> Format {
        if self.half == Some(true) { Format::F16 } else { Format::F32 }
    }

    /// The most batches that an evaluation takes.
    pub(crate) fn eval_batches(&self) -> usize {
        self.eval_batches.unwrap_or(usize::MAX)
    }

    /// Steps from one evaluation to the next, and from one checkpoint to the next.
    pub(crate) fn every(&self, schedule: &Schedule) -> (u64, u64) {
        let eval = self.eval_every.unwrap_or(schedule.steps / 10).max(1);
        (eval, self.save_every.unwrap_or(eval).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file_and_that_before_the_preset() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        std::fs::write(&file, "preset = \"char\"\nlayers = 3\nsteps = 50\nlr = 3e-3\n").unwrap();
        let flags = Settings { steps: Some(7), ..Settings::default() };
        let all = flags.complete(Some(&file)).unwrap();
        assert_eq!((all.steps, all.layers, all.heads), (Some(7), Some(3), Some(4)));
        let schedule = all.schedule().unwrap();
        assert_eq!((schedule.peak_lr, schedule.min_lr, schedule.warmup), (3e-3, 3e-3 / 10.0, 0));
        std::fs::write(&file, "layer = 3\n").unwrap();
        let error = Settings::default().complete(Some(&file)).unwrap_err().to_string();
        assert!(error.contains("unknown field `layer`"), "{error}");
    }

    #[test]
    fn what_differs_is_named() {
        let before = Settings { steps: Some(5), seed: Some(1), ..Settings::default() };
        let now = Settings { steps: Some(5), seed: Some(2), ..Settings::default() };
        assert_eq!(now.differ(&before), ["seed"]);
        assert!(Settings::default().differ(&before).is_empty());
    }
}
