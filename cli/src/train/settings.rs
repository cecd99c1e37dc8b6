//! The settings of a training run: flags, a TOML file of the same names, and presets.

use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::{Error, Result};
use serde::{Deserialize, Serialize};

use super::choices::{DecayName, FamilyName, LossOn, OptimizerName, Preset};

/// Everything that a run depends on, except for the device. What is not set comes from the preset,
/// or has a default.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Files to train on: UTF-8 text, JSON lines (.jsonl) or token ids (.bin)
    ///
    /// A line of JSON is {"text": "..."}, a document, or {"messages": [{"role": "user", "content":
    /// "..."}, ...]}, a conversation, which the model's chat template formats. Token ids have 16 or
    /// 32 bits, low byte first, with or without llm.c's header. - is standard input.
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
    /// Parse the names of all special tokens in the text as special tokens
    ///
    /// By default only the end-of-text token (such as <|endoftext|>) is parsed, which separates
    /// documents. --no-special parses none.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        conflicts_with = "no_special", help_heading = DATA)]
    pub(crate) special: Option<bool>,
    /// Treat the names of special tokens as plain text, including the end-of-text token
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        help_heading = DATA)]
    #[serde(skip_serializing)]
    pub(crate) no_special: Option<bool>,
    /// Tokens of a conversation that are predicted [default: answers]
    #[arg(long, value_name = "TOKENS", help_heading = DATA)]
    pub(crate) loss_on: Option<LossOn>,
    /// Fine-tune this model instead of training a new one
    ///
    /// The model is evaluated before the first step, and remains the result if it does not improve.
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
    /// Number of optimizer steps
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) steps: Option<u64>,
    /// Dropout probability, for the embedding and the output of each sub-layer [default: 0]
    #[arg(long, value_name = "P", help_heading = TRAINING)]
    pub(crate) dropout: Option<f64>,
    /// Use f16 copies of the weight matrices in matrix products
    ///
    /// The f32 master weights are what the optimizer updates and what is saved. Each step reads
    /// half as many bytes of weights and needs a little more memory.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "BOOL",
        help_heading = TRAINING)]
    pub(crate) mixed: Option<bool>,
    /// Seed for the initial weights, the order of the data and dropout [default: 0]
    #[arg(long, value_name = "N", help_heading = TRAINING)]
    pub(crate) seed: Option<u64>,
    /// Peak learning rate [default: 1e-3; with --from 5e-5]
    #[arg(long, value_name = "LR", help_heading = OPTIMIZER)]
    pub(crate) lr: Option<f64>,
    /// Learning rate at the end of the decay [default: a tenth of --lr]
    #[arg(long, value_name = "LR", help_heading = OPTIMIZER)]
    pub(crate) min_lr: Option<f64>,
    /// Steps of linear warm-up [default: a twentieth of --steps]
    #[arg(long, value_name = "N", help_heading = OPTIMIZER)]
    pub(crate) warmup: Option<u64>,
    /// Shape of the learning rate's decay after warm-up [default: cosine]
    #[arg(long, value_name = "SHAPE", help_heading = OPTIMIZER)]
    pub(crate) decay: Option<DecayName>,
    /// Length of the final decay, with --decay wsd [default: a fifth of --steps]
    #[arg(long, value_name = "N", help_heading = OPTIMIZER)]
    pub(crate) decay_steps: Option<u64>,
    /// Optimizer [default: adamw]
    #[arg(long, value_name = "NAME", help_heading = OPTIMIZER)]
    pub(crate) optimizer: Option<OptimizerName>,
    /// Decay rate of adamw's mean of gradients [default: 0.9]
    #[arg(long, value_name = "BETA", help_heading = OPTIMIZER)]
    pub(crate) beta1: Option<f64>,
    /// Decay rate of adamw's mean of squared gradients [default: 0.95; with --from 0.999]
    #[arg(long, value_name = "BETA", help_heading = OPTIMIZER)]
    pub(crate) beta2: Option<f64>,
    /// Weight decay of adamw, applied to matrices only [default: 0.1; with --from 0]
    #[arg(long, value_name = "DECAY", help_heading = OPTIMIZER)]
    pub(crate) weight_decay: Option<f64>,
    /// Clip gradients to this global norm; 0 disables clipping [default: 1]
    #[arg(long, value_name = "NORM", help_heading = OPTIMIZER)]
    pub(crate) clip: Option<f64>,
    /// Evaluate on the validation data every N steps, 0 for never [default: a tenth of --steps]
    #[arg(long, value_name = "N", help_heading = EVALUATION)]
    pub(crate) eval_every: Option<u64>,
    /// Use at most N batches for an evaluation [default: all]
    #[arg(long, value_name = "N", help_heading = EVALUATION)]
    pub(crate) eval_batches: Option<usize>,
    /// Save a checkpoint every N steps, 0 for never [default: the same as --eval-every]
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
const OPTIMIZER: &str = "Optimizer";
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
        first!(self, other; val_data, val_fraction, tokenizer, special, no_special, loss_on, from, preset, family, layers, heads,
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

    /// These settings; those that are not set are taken from the file.
    ///
    /// # Errors
    /// Those of the file, and [`Error::Input`] for a contradiction.
    pub(crate) fn with_file(self, file: Option<&Path>) -> Result<Self> {
        let mut given = match file {
            Some(path) => {
                let mut read = Self::read(path)?;
                if self.special.is_some() || self.no_special.is_some() {
                    (read.special, read.no_special) = (None, None);
                }
                self.or(read)
            }
            None => self,
        };
        if given.special.is_some() && given.no_special.is_some() {
            return Err(Error::Input("give special or no-special, not both".to_owned()));
        }
        given.special = given.special.or(given.no_special.take().map(|no| !no));
        Ok(given)
    }

    /// These settings; those that are not set are taken from the preset, if they have a meaning here.
    pub(crate) fn with_preset(self) -> Self {
        let mut preset = self.preset.map(Preset::settings).unwrap_or_default();
        if self.family.is_some_and(|family| family != FamilyName::Llama) {
            preset.kv_heads = None;
        }
        if self.optimizer == Some(OptimizerName::Sgd) {
            preset.beta2 = None;
        }
        self.or(preset)
    }

    /// The names of the settings that differ from `before`. Those that only say where something is
    /// found, and those that do not change what is learned, may differ.
    pub(crate) fn differ(&self, before: &Self) -> Vec<String> {
        const MAY: [&str; 7] =
            ["data", "val-data", "tokenizer", "from", "steps", "save-every", "sample"];
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(serde_json::Value::Object(map)) => map,
            _ => serde_json::Map::new(),
        };
        let (own, before) = (fields(self), fields(before));
        let set = own.into_iter().filter(|(name, value)| {
            !value.is_null() && !MAY.contains(&name.as_str()) && before.get(name) != Some(value)
        });
        set.map(|(name, _)| name).collect()
    }

    /// The settings of a run that goes on: its own, but for what may differ.
    pub(crate) fn resumed(self, own: &Self) -> Self {
        let Self { data, val_data, tokenizer, from, save_every, sample, .. } = self;
        let given = Self { data, val_data, tokenizer, from, save_every, sample, ..Self::default() };
        given.or(own.clone())
    }

    /// The same with paths that do not depend on the current folder.
    ///
    /// # Errors
    /// [`Error::Io`] if that is not known.
    pub(crate) fn absolute(mut self) -> Result<Self> {
        let Self { data, val_data, tokenizer, from, .. } = &mut self;
        for path in data.iter_mut().chain(val_data).chain(tokenizer).chain(from) {
            // A model on the Hub and standard input have names that are no paths.
            if path.exists() {
                *path = std::path::absolute(&*path).map_err(|error| Error::io(&*path, error))?;
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_come_before_the_file_and_that_before_the_preset() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        let text = "preset = \"char\"\nlayers = 3\nsteps = 50\nlr = 3e-3\nno-special = true\n";
        std::fs::write(&file, text).unwrap();
        let flags = Settings { steps: Some(7), ..Settings::default() };
        let all = flags.clone().with_file(Some(&file)).unwrap().with_preset();
        assert_eq!((all.steps, all.layers, all.heads), (Some(7), Some(3), Some(4)));
        assert_eq!((all.special, all.no_special), (Some(false), None));
        let special = Settings { special: Some(true), ..flags };
        assert_eq!(special.with_file(Some(&file)).unwrap().special, Some(true));
        let schedule = all.schedule().unwrap();
        assert_eq!((schedule.peak_lr, schedule.min_lr, schedule.warmup), (3e-3, 3e-3 / 10.0, 0));
        for (text, words) in [
            ("layer = 3\n", "unknown field `layer`"),
            ("special = true\nno-special = true\n", "not both"),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Settings::default().with_file(Some(&file)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn what_differs_is_named_and_where_it_is_found_does_not() {
        let path = |name: &str| Some(PathBuf::from(name));
        let before = Settings { steps: Some(5), seed: Some(1), ..Settings::default() };
        let now = Settings { steps: Some(5), seed: Some(2), ..Settings::default() };
        assert_eq!(now.differ(&before), ["seed"]);
        assert!(Settings::default().differ(&before).is_empty());
        let moved = Settings {
            data: vec!["elsewhere".into()],
            tokenizer: path("t.json"),
            sample: Some("x".to_owned()),
            ..Settings::default()
        };
        assert!(moved.differ(&before).is_empty());
        let resumed = moved.clone().resumed(&before);
        assert_eq!((resumed.data, resumed.sample), (moved.data, moved.sample));
        assert_eq!((resumed.seed, resumed.steps), (Some(1), Some(5)));
    }

    #[test]
    fn paths_that_are_stored_do_not_depend_on_the_folder() {
        let names = Settings {
            data: vec!["Cargo.toml".into(), "-".into()],
            from: Some("owner/name".into()),
            ..Settings::default()
        };
        let stored = names.absolute().unwrap();
        assert!(stored.data[0].is_absolute() && stored.data[0].ends_with("Cargo.toml"));
        assert_eq!((&stored.data[1], stored.from), (&"-".into(), Some("owner/name".into())));
    }

    /// What a preset says of something that is not there is left out.
    #[test]
    fn a_preset_does_not_ask_for_what_the_family_lacks() {
        let gpt2 = Settings {
            preset: Some(Preset::LlamaSmall),
            family: Some(FamilyName::Gpt2),
            optimizer: Some(OptimizerName::Sgd),
            ..Settings::default()
        };
        let all = gpt2.clone().with_preset();
        assert_eq!((all.kv_heads, all.beta2, all.layers), (None, None, Some(6)));
        let llama = Settings { family: None, optimizer: None, ..gpt2 }.with_preset();
        assert_eq!((llama.kv_heads, llama.beta2), (Some(2), Some(0.95)));
    }
}
