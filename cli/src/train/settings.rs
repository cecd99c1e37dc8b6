//! What a run of training is to be: flags, a TOML file of the same names, and presets.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pellucid::format::Format;
use pellucid::train::{self, Decay, Family, Optimizer, Schedule, Sizes, TrainOptions};
use pellucid::{Error, Result};
use serde::{Deserialize, Serialize};

/// Everything that a run depends on, but for the device. What is not set is the preset's, or has a
/// default.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Files to learn from: UTF-8 text, or tokens where the name ends in .bin
    #[arg(value_name = "FILE")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) data: Vec<PathBuf>,
    /// A file to judge by, instead of the last part of the data
    #[arg(long, value_name = "FILE")]
    pub(crate) valid: Option<PathBuf>,
    /// The share of the data, its last part, that is kept to judge by [default: 0.1]
    #[arg(long, value_name = "SHARE")]
    pub(crate) valid_share: Option<f64>,
    /// A tokenizer.json; without it and --from, tokens are the characters of the data
    #[arg(long, value_name = "FILE")]
    pub(crate) tokenizer: Option<PathBuf>,
    /// Go on from this model instead of a new one
    #[arg(long, value_name = "FOLDER")]
    pub(crate) from: Option<PathBuf>,
    /// Sizes and pace that are known to go together
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<Preset>,
    /// The new model's family [default: gpt2]
    #[arg(long, value_name = "FAMILY")]
    pub(crate) family: Option<FamilyName>,
    /// Layers of the new model
    #[arg(long, value_name = "N")]
    pub(crate) layers: Option<usize>,
    /// Its query heads
    #[arg(long, value_name = "N")]
    pub(crate) heads: Option<usize>,
    /// Its key/value heads, for --family llama [default: as many as --heads]
    #[arg(long, value_name = "N")]
    pub(crate) kv_heads: Option<usize>,
    /// Width of its residual stream
    #[arg(long, value_name = "N")]
    pub(crate) width: Option<usize>,
    /// Hidden width of its perceptrons [default: 4 times the width, 8/3 behind a gate]
    #[arg(long, value_name = "N")]
    pub(crate) hidden: Option<usize>,
    /// Give it an output head of its own, not the transposed embedding
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) untied: Option<bool>,
    /// Tokens of a sequence
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Sequences that run at once
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// Batches whose gradients make one step [default: 1]
    #[arg(long, value_name = "N")]
    pub(crate) accumulate: Option<usize>,
    /// Steps in all
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// The highest learning rate [default: 1e-3]
    #[arg(long, value_name = "RATE")]
    pub(crate) rate: Option<f64>,
    /// The lowest learning rate after it [default: a tenth of --rate]
    #[arg(long, value_name = "RATE")]
    pub(crate) floor: Option<f64>,
    /// Steps in which the rate rises [default: a twentieth of --steps]
    #[arg(long, value_name = "N")]
    pub(crate) warmup: Option<u64>,
    /// How the rate falls [default: cosine]
    #[arg(long, value_name = "HOW")]
    pub(crate) decay: Option<DecayName>,
    /// The last steps, over which --decay wsd falls [default: a fifth of --steps]
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<u64>,
    /// How parameters move [default: adamw]
    #[arg(long, value_name = "NAME")]
    pub(crate) optimizer: Option<OptimizerName>,
    /// How slowly the mean of gradients moves [default: 0.9]
    #[arg(long, value_name = "B")]
    pub(crate) beta1: Option<f64>,
    /// How slowly the mean of their squares moves [default: 0.95]
    #[arg(long, value_name = "B")]
    pub(crate) beta2: Option<f64>,
    /// How strongly matrices are pulled towards zero [default: 0.1]
    #[arg(long, value_name = "W")]
    pub(crate) weight_decay: Option<f64>,
    /// The longest that all gradients together may be; 0 for any length [default: 1]
    #[arg(long, value_name = "LENGTH")]
    pub(crate) clip: Option<f64>,
    /// How likely values are dropped [default: 0]
    #[arg(long, value_name = "P")]
    pub(crate) dropout: Option<f64>,
    /// Multiply by matrices in half floats, made from those in f32 that move; less is read, a little
    /// more is kept
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) mixed: Option<bool>,
    /// Decides on the first weights, on the data of each step, and on what is dropped [default: 0]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Steps between two judgements by the validation data [default: a tenth of --steps]
    #[arg(long, value_name = "N")]
    pub(crate) eval_every: Option<u64>,
    /// The most batches of validation data that a judgement takes [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) eval_batches: Option<usize>,
    /// Steps between two that are saved [default: as --eval-every]
    #[arg(long, value_name = "N")]
    pub(crate) save_every: Option<u64>,
    /// A text that every saved step continues, to show how it speaks
    #[arg(long, value_name = "TEXT")]
    pub(crate) sample: Option<String>,
    /// Write model/ in half floats, which take half the room
    #[arg(long = "f16", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    #[serde(rename = "f16")]
    pub(crate) half: Option<bool>,
}

/// The names of `--preset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Preset {
    /// 0.8 M parameters for characters: minutes on a CPU
    Char,
    /// 10 M parameters for characters or a small tokenizer: for a GPU
    CharLarge,
    /// GPT-2's smallest, 124 M parameters
    Gpt2,
    /// A small Llama, 9 M parameters and those of the vocabulary: for a GPU
    LlamaSmall,
}

/// The families of `--family`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FamilyName {
    Gpt2,
    Gpt2AttnOnly,
    Llama,
}

/// The ways of `--decay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DecayName {
    Constant,
    Linear,
    Cosine,
    Wsd,
}

/// The names of `--optimizer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OptimizerName {
    Adamw,
    Sgd,
}

impl Preset {
    /// What the library knows of it.
    fn known(self) -> train::Preset {
        match self {
            Self::Char => train::Preset::Char,
            Self::CharLarge => train::Preset::CharLarge,
            Self::Gpt2 => train::Preset::Gpt2,
            Self::LlamaSmall => train::Preset::LlamaSmall,
        }
    }

    /// The settings that it decides on.
    fn settings(self) -> Settings {
        let preset = self.known();
        let (sizes, options, schedule) = (preset.sizes(0), preset.options(), preset.schedule());
        Settings {
            family: (sizes.family == Family::Llama).then_some(FamilyName::Llama),
            layers: Some(sizes.layers),
            heads: Some(sizes.heads),
            kv_heads: sizes.kv_heads,
            width: Some(sizes.width),
            context: Some(sizes.context),
            batch: Some(options.batch),
            accumulate: Some(preset.accumulate()),
            steps: Some(schedule.steps),
            rate: Some(schedule.peak),
            beta2: match options.optimizer {
                Optimizer::AdamW { betas: [_, beta2], .. } => Some(beta2),
                Optimizer::Sgd => None,
            },
            dropout: Some(options.dropout),
            ..Settings::default()
        }
    }
}

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
    /// These settings; what they leave open is as in `other`.
    fn or(self, other: Self) -> Self {
        first!(self, other; valid, valid_share, tokenizer, from, preset, family, layers, heads, kv_heads,
            width, hidden, untied, context, batch, accumulate, steps, rate, floor, warmup, decay, last,
            optimizer, beta1, beta2, weight_decay, clip, dropout, mixed, seed, eval_every, eval_batches,
            save_every, sample, half)
    }

    /// Reads a TOML file whose names are those of the flags.
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        toml::from_str(&text)
            .map_err(|error| Error::file(path, error.to_string().trim().to_owned()))
    }

    /// These settings, what they leave open as in the file, and then as in the preset.
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

    /// Which of these settings are set otherwise in `before`, by their names.
    pub(crate) fn differ(&self, before: &Self) -> Vec<String> {
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (own, before) = (fields(self), fields(before));
        let set = own.into_iter().filter(|(_, value)| !value.is_null());
        set.filter(|(name, value)| before.get(name) != Some(value)).map(|(name, _)| name).collect()
    }

    /// How parameters move, and by what.
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
    /// [`Error::Input`] without a number of steps, and for rates that are none.
    pub(crate) fn schedule(&self) -> Result<Schedule> {
        let steps = self.steps.filter(|steps| *steps > 0).ok_or_else(|| {
            Error::Input("how many --steps? 1 or more, or a --preset that knows".to_owned())
        })?;
        let usual = Schedule::new(steps, self.rate.unwrap_or(1e-3));
        let (peak, floor) = (usual.peak, self.floor.unwrap_or(usual.floor));
        if !(peak > 0.0 && peak.is_finite() && (0.0..=peak).contains(&floor)) {
            return Err(Error::Input(format!(
                "--rate must be above 0, and --floor from 0 to it, got {peak} and {floor}"
            )));
        }
        Ok(Schedule {
            warmup: self.warmup.unwrap_or(usual.warmup),
            floor,
            decay: match self.decay.unwrap_or(DecayName::Cosine) {
                DecayName::Constant => Decay::Constant,
                DecayName::Linear => Decay::Linear,
                DecayName::Cosine => Decay::Cosine,
                DecayName::Wsd => Decay::Wsd,
            },
            last: self.last.unwrap_or(usual.last),
            ..usual
        })
    }

    /// The sizes of a new model, but for its vocabulary.
    ///
    /// # Errors
    /// [`Error::Input`] where one is missing, and for those of a model that is not new.
    pub(crate) fn sizes(&self) -> Result<Sizes> {
        let need = |value: Option<usize>, name: &str| {
            value.filter(|value| *value > 0).ok_or_else(|| {
                Error::Input(format!(
                    "a new model needs --{name}, or a --preset; --from goes on with another one"
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

    /// Fails for sizes beside `--from`, whose model has its own.
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
                "--{name} is for a new model; that of --from has its own"
            ))),
            _ => Ok(()),
        }
    }

    /// How the values of the model are written.
    pub(crate) fn format(&self) -> Format {
        if self.half == Some(true) { Format::F16 } else { Format::F32 }
    }

    /// Batches that a judgement takes, at most.
    pub(crate) fn eval_batches(&self) -> usize {
        self.eval_batches.unwrap_or(usize::MAX)
    }

    /// Steps between two judgements, and between two that are saved.
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
        std::fs::write(&file, "preset = \"char\"\nlayers = 3\nsteps = 50\nrate = 3e-3\n").unwrap();
        let flags = Settings { steps: Some(7), ..Settings::default() };
        let all = flags.complete(Some(&file)).unwrap();
        assert_eq!((all.steps, all.layers, all.heads), (Some(7), Some(3), Some(4)));
        let schedule = all.schedule().unwrap();
        assert_eq!((schedule.peak, schedule.floor, schedule.warmup), (3e-3, 3e-3 / 10.0, 0));
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
