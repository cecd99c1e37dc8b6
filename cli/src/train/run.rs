//! A training run: its steps, evaluations and checkpoints.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::sampling::Sampling;
use pellucid::tokenizer::Encode;
use pellucid::train::{Batch, Data, ModelFiles, Saved, Schedule, Step, TrainOptions, Trainer};
use pellucid::{Error, Result};
use serde::Serialize;

use super::Train;
use super::folder::{Folder, MODEL, Own};
use super::record::{Line, Record, Timing};
use super::rules::Pace;
use crate::interrupt::Stretch;
use crate::output;

/// The summary at the end.
#[derive(Debug, Serialize)]
struct Report<'a> {
    steps: u64,
    loss: Option<f64>,
    valid_loss: Option<f64>,
    best_step: Option<u64>,
    tokens_per_s: Option<f64>,
    interrupted: bool,
    model: Option<&'a Path>,
    saved: Option<&'a Path>,
}

/// A training run.
pub(super) struct Run<'a> {
    pub(super) train: &'a Train,
    /// What the run is, and the lowest validation loss so far.
    pub(super) own: Own,
    /// Its folder, locked.
    pub(super) folder: Folder,
    pub(super) schedule: Schedule,
    pub(super) options: TrainOptions,
    /// The model's files, except for the tensors.
    pub(super) files: ModelFiles,
    /// The model's own context.
    pub(super) context: usize,
    pub(super) data: Data,
    pub(super) trainer: Trainer,
    pub(super) record: Record,
    /// The folder of the last checkpoint.
    pub(super) saved: Option<PathBuf>,
}

impl Run<'_> {
    /// Trains; returns whether the run was finished.
    pub(super) async fn go(mut self) -> Result<bool> {
        let settings = self.own.settings.clone();
        let pace = settings.pace(&self.schedule);
        let grad_accum = settings.grad_accum.unwrap_or(1);
        let validation = match pace.eval {
            Some(_) => self.data.validation(&self.options, settings.eval_batches()),
            None => Vec::new(),
        };
        let tokens = (self.options.batch * self.options.context * grad_accum) as f64;
        let bar = bar(self.schedule.steps, self.trainer.steps());
        let stretch = Stretch::begin();
        if settings.from.is_some() && self.trainer.steps() == 0 && !validation.is_empty() {
            self.evaluate(&validation, None, &bar).await?;
        }
        let (start, first) = (Instant::now(), self.trainer.steps());
        let mut last: Option<Step> = None;
        let mut away = 0.0;
        while self.trainer.steps() < self.schedule.steps && !stretch.is_over() {
            let step = self.trainer.steps();
            let begun = Instant::now();
            let lr = self.schedule.lr(step);
            let batches = self.data.batches(&self.options, step, grad_accum);
            let found = match self.trainer.step(&batches, lr).await {
                Ok(found) => found,
                Err(error) => return Err(self.ended(error)),
            };
            let seconds = begun.elapsed().as_secs_f64();
            self.log(&found, lr, seconds, tokens)?;
            if last.replace(found).is_none() {
                self.folder.begin(&self.own)?;
            }
            let at_end = found.step == self.schedule.steps;
            let due = |every: Option<u64>| {
                every.is_some_and(|every| at_end || found.step.is_multiple_of(every))
            };
            let pause = Instant::now();
            if !validation.is_empty() && due(pace.eval) {
                let loss = self.evaluate(&validation, Some(&found), &bar).await?;
                if !loss.is_finite() {
                    // Not saved: every later step would fail, and so would this command, corrected.
                    let error = Error::Diverged { step: found.step, loss, tensor: None };
                    return Err(self.ended(error));
                }
            }
            if due(pace.save) {
                self.save(&bar).await?;
            }
            away += pause.elapsed().as_secs_f64();
            let done = (found.step - first) as f64;
            let speed = done * tokens / (start.elapsed().as_secs_f64() - away);
            bar.set_position(found.step);
            bar.set_message(format!(
                "loss {:.3}{}, {speed:.0} tok/s",
                found.loss,
                self.best_loss()
            ));
        }
        let interrupted = self.trainer.steps() < self.schedule.steps;
        let seconds = start.elapsed().as_secs_f64() - away;
        if interrupted && last.is_some() && pace.save.is_some() {
            self.save(&bar).await?;
        }
        bar.finish_and_clear();
        drop(stretch);
        let done = last.map_or(0.0, |last| (last.step - first) as f64);
        let folder = self.train.output.join(MODEL);
        // An interrupted run without checkpoints has no other result.
        let only = interrupted && pace.save.is_none() && self.own.best.is_none();
        if self.trainer.steps() > 0 && (only || !interrupted && validation.is_empty()) {
            self.trainer.export(&folder, &self.files, settings.format()).await?;
        }
        self.record.draw()?;
        let report = Report {
            steps: self.trainer.steps(),
            loss: last.map(|last| last.loss),
            valid_loss: self.own.best.map(|best| best.1),
            best_step: self.own.best.map(|best| best.0),
            tokens_per_s: (done > 0.0).then(|| (done * tokens / seconds).round()),
            interrupted,
            model: folder.exists().then_some(&folder),
            saved: self.saved.as_deref(),
        };
        self.show(&report, pace)?;
        Ok(!interrupted)
    }

    /// What ended the run. One that diverged before it kept anything is forgotten: nothing can go on
    /// from it, and it must not stop the corrected command.
    fn ended(&mut self, error: Error) -> Error {
        let learned = self.own.best.is_some_and(|(step, _)| step > 0);
        if matches!(error, Error::Diverged { .. }) && self.saved.is_none() && !learned {
            match self.folder.forget() {
                Ok(()) => output::note("the run had saved nothing, so its folder is unchanged"),
                Err(error) => log::warn!("{}", output::sentence(&error)),
            }
        }
        error
    }

    /// Writes a step to the log.
    fn log(&mut self, found: &Step, rate: f64, seconds: f64, tokens: f64) -> Result<()> {
        let step = found.step;
        self.record.add(Line {
            step,
            loss: Some(found.loss),
            gradient_norm: Some(found.gradient_norm),
            rate: Some(rate),
            valid_loss: None,
        })?;
        self.record.time(Timing { step, seconds, tokens_per_s: (tokens / seconds).round() })
    }

    /// The best validation loss, for the bar.
    fn best_loss(&self) -> String {
        self.own.best.map_or_else(String::new, |(_, loss)| format!(", validation {loss:.3}"))
    }

    /// The loss of the validation data after a step, or before the first; the model is kept if it is
    /// the best so far.
    async fn evaluate(
        &mut self,
        batches: &[Batch],
        found: Option<&Step>,
        bar: &ProgressBar,
    ) -> Result<f64> {
        let loss = self.trainer.evaluate(batches).await?;
        let step = self.trainer.steps();
        self.record.add(Line::evaluation(step, loss))?;
        if loss.is_finite() && self.own.best.is_none_or(|(_, best)| loss < best) {
            let folder = self.train.output.join(MODEL);
            let format = self.own.settings.format();
            self.trainer.export(&folder, &self.files, format).await?;
            self.own.best = Some((step, loss));
        }
        self.record.draw()?;
        let train = found.map_or_else(String::new, |found| format!("loss {:.4}, ", found.loss));
        bar.suspend(|| output::note(&format!("step {step}: {train}validation {loss:.4}")));
        Ok(loss)
    }

    /// Saves a checkpoint, and prints a sample of its text.
    async fn save(&mut self, bar: &ProgressBar) -> Result<()> {
        self.record.sync()?;
        let own = serde_json::to_value(&self.own)
            .map_err(|error| Error::file(&self.train.output, error.to_string()))?;
        let folder = self.trainer.save(&self.train.output, &self.files, own).await?;
        Saved::keep_last(&self.train.output, self.train.keep.unwrap_or(2))?;
        if let Some(prompt) = &self.own.settings.sample {
            let (text, step) = (self.sample(&folder, prompt).await, self.trainer.steps());
            bar.suspend(|| match text {
                Ok(text) => output::note(&format!("step {step}, sample: {prompt}{text}")),
                // The run itself is fine.
                Err(error) => log::warn!("step {step}: no sample: {}", output::sentence(&error)),
            });
        }
        self.saved = Some(folder);
        Ok(())
    }

    /// How a checkpoint continues a text.
    async fn sample(&self, folder: &Path, prompt: &str) -> Result<String> {
        let adapter = self.trainer.engine().gpu().adapter();
        let choice = AdapterChoice {
            backend: Some(adapter.backend.to_lowercase()),
            adapter: Some(adapter.name.clone()),
            ..AdapterChoice::default()
        };
        let options = Options { backend: Backend::Gpu(choice), check: false, ..Options::default() };
        let mut llm = Llm::load(folder, &options, |_| {}).await?;
        let ids = llm.encode(prompt, Encode::default())?;
        let sampling =
            Sampling { temperature: 0.8, seed: self.options.seed, ..Sampling::default() };
        let room = self.context.saturating_sub(ids.len());
        let request = Request { max_new_tokens: room.min(120), sampling, ..Request::default() };
        let (generation, _) = llm.generate(&ids, &request, |_| ControlFlow::Continue(())).await?;
        Ok(generation.text.unwrap_or_else(|| format!("{:?}", generation.tokens)))
    }

    fn show(&self, report: &Report<'_>, pace: Pace) -> Result<()> {
        if self.train.json {
            return output::json(report);
        }
        let number =
            |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
        let mut words = format!("{} steps, loss {}", report.steps, number(report.loss));
        if let (Some(loss), Some(step)) = (report.valid_loss, report.best_step) {
            words += &format!(", validation {loss:.4} at step {step}");
        }
        if let Some(rate) = report.tokens_per_s {
            words += &format!(", {rate:.0} tok/s");
        }
        if let Some(folder) = report.model {
            words += &format!("; the model is in {}", folder.display());
        }
        if report.interrupted {
            words += match pace.save {
                Some(_) => "; interrupted, use --resume to continue",
                None => "; interrupted, and no checkpoint was saved to continue from",
            };
        }
        output::line(&words)
    }
}

/// The bar of a run.
fn bar(steps: u64, done: u64) -> ProgressBar {
    let bar = output::progress_bar("{bar:30} {pos} of {len}, {msg}, {eta} left");
    bar.set_length(steps);
    bar.set_position(done);
    bar.reset_eta();
    bar
}
