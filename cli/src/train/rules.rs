//! What settings mean, and which of them contradict each other.

use pellucid::format::Format;
use pellucid::tokenizer::Names;
use pellucid::train::{Decay, Family, Learn, Optimizer, Schedule, Sizes, TrainOptions};
use pellucid::{Error, Result};

use super::choices::{DecayName, FamilyName, LossOn, OptimizerName};
use super::settings::Settings;

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Steps from one evaluation to the next; `None` for no evaluation.
    pub(super) eval: Option<u64>,
    /// Steps from one checkpoint to the next; `None` for no checkpoint.
    pub(super) save: Option<u64>,
}

impl Settings {
    /// Fails for an option that would have no effect: for one of another family, optimizer or kind of
    /// run, and for a number that means nothing. These are the settings as they were given, without
    /// those of the preset.
    ///
    /// # Errors
    /// [`Error::Input`], naming the option.
    pub(super) fn check(&self) -> Result<()> {
        let preset = self.preset.map(|preset| preset.settings()).unwrap_or_default();
        let family = self.family.or(preset.family).unwrap_or(FamilyName::Gpt2);
        let optimizer = self.optimizer.unwrap_or(OptimizerName::Adamw);
        let decay = self.decay.unwrap_or(DecayName::Cosine);
        let tunes = self.from.is_some();
        let new = "is for a new model; the model of --from has its own";
        let adamw = "is for --optimizer adamw";
        let none = self.val_fraction == Some(0.0);
        let unseen = "is for validation data, but --val-fraction 0 leaves none";
        let llama = "is for --family llama; GPT-2 has as many as --heads";
        let rules = [
            ("preset", self.preset.is_some() && tunes, new),
            ("family", self.family.is_some() && tunes, new),
            ("layers", self.layers.is_some() && tunes, new),
            ("heads", self.heads.is_some() && tunes, new),
            ("kv-heads", self.kv_heads.is_some() && tunes, new),
            ("width", self.width.is_some() && tunes, new),
            ("hidden", self.hidden.is_some() && tunes, new),
            ("untied", self.untied.is_some() && tunes, new),
            ("tokenizer", self.tokenizer.is_some() && tunes, new),
            ("kv-heads", self.kv_heads.is_some() && family != FamilyName::Llama, llama),
            (
                "hidden",
                self.hidden.is_some() && family == FamilyName::Gpt2AttnOnly,
                "is the width of an MLP, which --family gpt2-attn-only does not have",
            ),
            ("beta1", self.beta1.is_some() && optimizer == OptimizerName::Sgd, adamw),
            ("beta2", self.beta2.is_some() && optimizer == OptimizerName::Sgd, adamw),
            ("weight-decay", self.weight_decay.is_some() && optimizer == OptimizerName::Sgd, adamw),
            (
                "decay-steps",
                self.decay_steps.is_some() && decay != DecayName::Wsd,
                "is for --decay wsd",
            ),
            (
                "min-lr",
                self.min_lr.is_some() && decay == DecayName::Constant,
                "is for a learning rate that decays, but --decay is constant",
            ),
            (
                "val-fraction",
                self.val_fraction.is_some() && self.val_data.is_some(),
                "is for a part of the training data, but --val-data is a file of its own",
            ),
            (
                "eval-batches",
                self.eval_batches.is_some() && self.eval_every == Some(0),
                "is for evaluations, but --eval-every 0 turns them off",
            ),
            ("eval-batches", self.eval_batches.is_some() && none, unseen),
            ("eval-every", self.eval_every.is_some_and(|every| every > 0) && none, unseen),
            (
                "sample",
                self.sample.is_some() && self.save_every == Some(0),
                "is printed at each checkpoint, but --save-every 0 saves none",
            ),
            ("sample", self.sample.as_ref().is_some_and(String::is_empty), "is empty"),
            (
                "special",
                self.special == Some(true) && self.tokenizer.is_none() && !tunes,
                "is for the special tokens of a --tokenizer, or of the model of --from; a vocabulary of \
                 characters has none but <|endoftext|>",
            ),
            ("eval-batches", self.eval_batches == Some(0), "must be 1 or more; see --eval-every 0"),
            ("grad-accum", self.grad_accum == Some(0), "must be 1 or more"),
            ("batch", self.batch == Some(0), "must be 1 or more"),
        ];
        match rules.into_iter().find(|(_, broken, _)| *broken) {
            Some((name, _, reason)) => Err(Error::Input(format!("--{name} {reason}"))),
            None => Ok(()),
        }
    }

    /// The options of the trainer.
    pub(super) fn options(&self, context: usize) -> TrainOptions {
        let tunes = self.from.is_some();
        let usual = if tunes { TrainOptions::fine_tuning() } else { TrainOptions::default() };
        let mut optimizer = usual.optimizer;
        if let Optimizer::AdamW { betas, decay, .. } = &mut optimizer {
            *betas = [self.beta1.unwrap_or(betas[0]), self.beta2.unwrap_or(betas[1])];
            *decay = self.weight_decay.unwrap_or(*decay);
        }
        if self.optimizer == Some(OptimizerName::Sgd) {
            optimizer = Optimizer::Sgd;
        }
        TrainOptions {
            batch: self.batch.unwrap_or(usual.batch),
            context,
            optimizer,
            clip: self.clip.unwrap_or(usual.clip),
            dropout: self.dropout.unwrap_or(usual.dropout),
            seed: self.seed.unwrap_or(usual.seed),
            mixed: self.mixed.unwrap_or(usual.mixed),
        }
    }

    /// The learning rate of each step.
    ///
    /// # Errors
    /// [`Error::Input`] without a number of steps, and for invalid learning rates.
    pub(super) fn schedule(&self) -> Result<Schedule> {
        let steps = self
            .steps
            .filter(|steps| *steps > 0)
            .ok_or_else(|| Error::Input("give --steps, 1 or more, or a --preset".to_owned()))?;
        let tunes = self.from.is_some();
        let rate = if tunes { Schedule::FINE_TUNING_LR } else { Schedule::NEW_LR };
        let usual = Schedule::new(steps, self.lr.unwrap_or(rate));
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
    pub(super) fn sizes(&self) -> Result<Sizes> {
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

    /// The format in which the model is written.
    pub(super) fn format(&self) -> Format {
        if self.half == Some(true) { Format::F16 } else { Format::F32 }
    }

    /// The most batches that an evaluation takes.
    pub(super) fn eval_batches(&self) -> usize {
        self.eval_batches.unwrap_or(usize::MAX)
    }

    /// Which names of special tokens count in a text.
    pub(super) fn names(&self) -> Names {
        match self.special {
            None => Names::End,
            Some(true) => Names::All,
            Some(false) => Names::None,
        }
    }

    /// What is learned of a conversation.
    pub(super) fn learn(&self) -> Learn {
        match self.loss_on.unwrap_or(LossOn::Answers) {
            LossOn::Answers => Learn::Answers,
            LossOn::All => Learn::All,
        }
    }

    /// How often the model is evaluated and saved.
    pub(super) fn pace(&self, schedule: &Schedule) -> Pace {
        let usual = (schedule.steps / 10).max(1);
        let eval = self.eval_every.unwrap_or(usual);
        let save = self.save_every.unwrap_or(if eval > 0 { eval } else { usual });
        let sometimes = |every: u64| (every > 0).then_some(every);
        Pace { eval: sometimes(eval), save: sometimes(save) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::choices;
    use super::*;

    #[test]
    fn options_without_effect_are_refused_by_name() {
        let none = Settings::default;
        let attention = Some(FamilyName::Gpt2AttnOnly);
        let (sgd, from) = (Some(OptimizerName::Sgd), Some("model".into()));
        for (settings, words) in [
            (Settings { kv_heads: Some(1), ..none() }, "--kv-heads is for --family llama"),
            (Settings { hidden: Some(8), family: attention, ..none() }, "--hidden is the width"),
            (Settings { beta2: Some(0.9), optimizer: sgd, ..none() }, "--beta2 is for"),
            (Settings { weight_decay: Some(0.0), optimizer: sgd, ..none() }, "--weight-decay"),
            (Settings { decay_steps: Some(9), ..none() }, "--decay-steps is for --decay wsd"),
            (
                Settings { min_lr: Some(0.1), decay: Some(DecayName::Constant), ..none() },
                "--min-lr is for",
            ),
            (
                Settings { val_fraction: Some(0.1), val_data: Some("v".into()), ..none() },
                "--val-fraction",
            ),
            (Settings { eval_batches: Some(3), eval_every: Some(0), ..none() }, "--eval-batches"),
            (
                Settings { eval_batches: Some(3), val_fraction: Some(0.0), ..none() },
                "--eval-batches",
            ),
            (
                Settings { eval_every: Some(3), val_fraction: Some(0.0), ..none() },
                "--eval-every is for validation data",
            ),
            (
                Settings { sample: Some("a".to_owned()), save_every: Some(0), ..none() },
                "--sample is printed at each checkpoint",
            ),
            (Settings { sample: Some(String::new()), ..none() }, "--sample is empty"),
            (Settings { special: Some(true), ..none() }, "--special is for the special tokens"),
            (Settings { grad_accum: Some(0), ..none() }, "--grad-accum must be 1"),
            (Settings { width: Some(8), from: from.clone(), ..none() }, "--width is for a new"),
            (Settings { preset: Some(choices::Preset::Char), from, ..none() }, "--preset is for"),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}, not {words}");
        }
        let preset = Some(choices::Preset::LlamaSmall);
        for fine in [
            Settings { kv_heads: Some(1), preset, ..none() },
            Settings { special: Some(false), ..none() },
            Settings { special: Some(true), tokenizer: Some("t".into()), ..none() },
            Settings { eval_every: Some(0), val_fraction: Some(0.0), ..none() },
        ] {
            assert!(fine.check().is_ok(), "{fine:?}");
        }
        assert!(
            Settings { decay: Some(DecayName::Wsd), decay_steps: Some(9), ..none() }
                .check()
                .is_ok()
        );
    }

    #[test]
    fn zero_is_never() {
        let pace = |eval_every, save_every| {
            let settings = Settings { eval_every, save_every, ..Settings::default() };
            let Pace { eval, save } = settings.pace(&Schedule::new(40, 1e-3));
            (eval, save)
        };
        assert_eq!(pace(None, None), (Some(4), Some(4)));
        assert_eq!(pace(Some(0), None), (None, Some(4)));
        assert_eq!(pace(Some(0), Some(0)), (None, None));
        assert_eq!(pace(Some(7), None), (Some(7), Some(7)));
        assert_eq!(pace(Some(7), Some(0)), (Some(7), None));
    }

    #[test]
    fn a_model_that_has_learned_is_changed_gently() {
        let new = Settings { steps: Some(100), ..Settings::default() };
        let tuned = Settings { from: Some("model".into()), ..new.clone() };
        assert_eq!(new.schedule().unwrap().peak_lr, 1e-3);
        assert_eq!(tuned.schedule().unwrap().peak_lr, 5e-5);
        let adamw = |settings: &Settings| match settings.options(8).optimizer {
            Optimizer::AdamW { betas, decay, .. } => (betas, decay),
            Optimizer::Sgd => panic!("not AdamW"),
        };
        assert_eq!(adamw(&new), ([0.9, 0.95], 0.1));
        assert_eq!(adamw(&tuned), ([0.9, 0.999], 0.0));
        let own = Settings { lr: Some(1e-2), weight_decay: Some(0.5), ..tuned };
        assert_eq!((own.schedule().unwrap().peak_lr, adamw(&own).1), (1e-2, 0.5));
    }
}
