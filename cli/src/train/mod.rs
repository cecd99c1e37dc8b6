//! `pellucid train`: finds the function, rather than loading it.

mod material;
mod record;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use indicatif::ProgressBar;
use pellucid::check::Store;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::gpu::{AdapterChoice, Engine, Gpu};
use pellucid::model::{LoadOptions, Model};
use pellucid::names::{Format, Sampling};
use pellucid::ops::{Choices, Known};
use pellucid::text::Encode;
use pellucid::train::{Batch, Data, Frame, Saved, Schedule, Step, TrainOptions, Trainer};
use pellucid::weights::Checkpoint;
use pellucid::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::interrupt::Stretch;
use crate::options::DeviceOptions;
use crate::output;
use material::Material;
use record::{Line, Record};
use settings::Settings;

/// Trains a model, new or another's, on text.
///
/// The run's folder gets `model/`, the model with the lowest validation loss in Hugging Face's layout,
/// which `generate` runs; `log.jsonl`, a line a step; `loss.svg`; and the last saved steps, from which
/// --resume goes on with the same bits as if nothing had stopped it.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    settings: Settings,
    /// A TOML file of the same options, by the names of their flags; flags come first
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The run's folder
    #[arg(short, long, value_name = "FOLDER", default_value = "run")]
    output: PathBuf,
    /// Go on with the run in that folder, from its last saved step
    #[arg(long)]
    resume: bool,
    /// How many saved steps are kept
    #[arg(long, value_name = "N", default_value_t = 2)]
    keep: usize,
    /// Print one JSON object at the end instead of a line
    #[arg(long)]
    json: bool,
    /// Use the built-in variants, not those that `tune` found to be faster
    #[arg(long)]
    no_tune: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// What a saved step knows of the run.
#[derive(Debug, Serialize, Deserialize)]
struct Own {
    settings: Settings,
    /// The hash of all tokens.
    data: String,
}

/// What is told at the end.
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

/// A run under way.
struct Run<'a> {
    train: &'a Train,
    settings: Settings,
    schedule: Schedule,
    options: TrainOptions,
    /// What stands around the model's tensors.
    frame: Frame,
    /// The model's own context.
    context: usize,
    data: Data,
    hash: String,
    trainer: Trainer,
    record: Record,
    /// The lowest validation loss, and its step.
    best: Option<(u64, f64)>,
    /// Where the last saved step lies.
    saved: Option<PathBuf>,
}

impl Train {
    /// Says whether it came to its end.
    pub(crate) async fn run(&self) -> Result<bool> {
        let given = self.settings.clone().complete(self.config.as_deref())?;
        let saved = self.saved()?;
        let (settings, own) = match &saved {
            None => (given, None),
            Some(saved) => {
                let path = saved.folder.join("state.json");
                let own: Own = serde_json::from_value(saved.state.run.clone())
                    .map_err(|error| Error::file(&path, format!("is no run of ours: {error}")))?;
                let differ = given.differ(&own.settings);
                if !differ.is_empty() {
                    return Err(Error::Input(format!(
                        "the run in {} was begun with other settings of: {}; leave them out to go on \
                         with it, or choose another --output",
                        self.output.display(),
                        differ.join(", ")
                    )));
                }
                (own.settings.clone(), Some(own))
            }
        };
        let schedule = settings.schedule()?;
        settings.check_from()?;
        let material = Material::prepare(&settings, &self.output, saved.as_ref())?;
        let Material { began, data, hash } = material;
        if own.is_some_and(|own| own.data != hash) {
            return Err(Error::Input(format!(
                "the data is not what the run in {} was begun with",
                self.output.display()
            )));
        }
        let own_context = began.config().context;
        let context = settings.context.unwrap_or(own_context.min(256));
        let options = settings.options(context);
        data.check(context, began.config().vocab)?;
        let trainer = self.trainer(&began, options, saved.as_ref()).await?;
        let record = Record::open(&self.output, trainer.steps())?;
        let judged = record.judged().filter(|(_, loss)| loss.is_finite());
        let best = judged.min_by(|a, b| a.1.total_cmp(&b.1));
        let saved = saved.map(|saved| saved.folder);
        let run = Run {
            train: self,
            settings,
            schedule,
            options,
            frame: Frame::of(&began)?,
            context: own_context,
            data,
            hash,
            trainer,
            record,
            best,
            saved,
        };
        run.go().await
    }

    /// The saved step to go on from.
    fn saved(&self) -> Result<Option<Saved>> {
        if !self.resume {
            if record::is_empty(&self.output)? {
                return Ok(None);
            }
            return Err(Error::Input(format!(
                "{} holds something already; --resume goes on with a run, and another --output begins one",
                self.output.display()
            )));
        }
        let mut damaged = |folder: &Path, error: Error| {
            let error = output::one_line(&error);
            log::warn!("{}: {error}; going back to the step before", folder.display());
        };
        let saved = Saved::latest(&self.output, &mut damaged)?;
        if let Some(saved) = &saved {
            output::note(&format!("going on after step {}", saved.state.step));
        }
        Ok(saved)
    }

    /// The model on the device, ready to learn.
    async fn trainer(
        &self,
        began: &Checkpoint,
        options: TrainOptions,
        saved: Option<&Saved>,
    ) -> Result<Trainer> {
        let no_gpu = || Error::Input("--backend cpu cannot learn; it only runs models".to_owned());
        let choice = self.device.choice()?.ok_or_else(no_gpu)?;
        let gpu = Gpu::open(&choice).await?;
        let known = match saved {
            // Other variants would sum in another order.
            Some(saved) => saved.state.known.clone(),
            None => self.known(&gpu),
        };
        let choices = Choices::new(gpu.caps(), known);
        if saved.is_some_and(|saved| saved.state.plan_key != choices.key()) {
            log::warn!(
                "the run was begun on another device: it goes on, but not with the same last bits"
            );
        }
        let mut engine = Engine::new(gpu);
        let load = LoadOptions { quantize: Some(Format::F32) };
        let bar = output::loading_bar();
        let mut progress = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let model = Model::load(&mut engine, began, load, &mut progress);
        bar.finish_and_clear();
        let mut trainer = Trainer::new(engine, model?, &choices, options, began)?;
        if let Some(saved) = saved {
            trainer.resume(saved)?;
        }
        let [parameters, activations] = trainer.bytes().map(indicatif::HumanBytes);
        output::note(&format!(
            "{} parameters; {parameters} with gradients and moments, {activations} of activations, \
             the largest buffer {}, on {}",
            indicatif::HumanCount(trainer.parameter_count() as u64),
            indicatif::HumanBytes(trainer.largest_buffer()),
            output::place(Some(trainer.engine().gpu().adapter()))
        ));
        Ok(trainer)
    }

    /// What was found out about the adapter before.
    fn known(&self, gpu: &Gpu) -> Known {
        let known = Store::new(gpu.adapter()).load().known;
        if self.no_tune { known.unmeasured() } else { known }
    }
}

impl Run<'_> {
    async fn go(mut self) -> Result<bool> {
        let (every, save_every) = self.settings.every(&self.schedule);
        let accumulate = self.settings.accumulate.unwrap_or(1).max(1);
        let judges = self.data.validation(&self.options, self.settings.eval_batches());
        let tokens = (self.options.batch * self.options.context * accumulate) as f64;
        let bar = bar(self.schedule.steps, self.trainer.steps());
        let stretch = Stretch::begin();
        let (start, first) = (Instant::now(), self.trainer.steps());
        let mut last: Option<Step> = None;
        let mut away = 0.0;
        while self.trainer.steps() < self.schedule.steps && !stretch.is_over() {
            let step = self.trainer.steps();
            let begun = Instant::now();
            let rate = self.schedule.rate(step);
            let batches = self.data.batches(&self.options, step, accumulate);
            let found = self.trainer.step(&batches, rate).await?;
            let seconds = begun.elapsed().as_secs_f64();
            last = Some(found);
            self.record.add(Line {
                step: found.step,
                loss: Some(found.loss),
                gradient_norm: Some(found.gradient_norm),
                rate: Some(rate),
                tokens_per_s: Some((tokens / seconds).round()),
                valid_loss: None,
            })?;
            let at_end = found.step == self.schedule.steps;
            let pause = Instant::now();
            if !judges.is_empty() && (found.step.is_multiple_of(every) || at_end) {
                self.judge(&judges, &found, &bar).await?;
            }
            if found.step.is_multiple_of(save_every) || at_end {
                self.save(&bar).await?;
            }
            away += pause.elapsed().as_secs_f64();
            let done = (found.step - first) as f64;
            let speed = done * tokens / (start.elapsed().as_secs_f64() - away);
            bar.set_position(found.step);
            bar.set_message(format!("loss {:.3}{}, {speed:.0} tok/s", found.loss, self.told()));
        }
        let interrupted = self.trainer.steps() < self.schedule.steps;
        let seconds = start.elapsed().as_secs_f64() - away;
        if interrupted && last.is_some() {
            self.save(&bar).await?;
        }
        bar.finish_and_clear();
        drop(stretch);
        let folder = self.train.output.join("model");
        if judges.is_empty() && !interrupted {
            self.trainer.export(&folder, &self.frame, self.settings.format()).await?;
        }
        self.record.draw()?;
        let done = last.map_or(0.0, |last| (last.step - first) as f64);
        let report = Report {
            steps: self.trainer.steps(),
            loss: last.map(|last| last.loss),
            valid_loss: self.best.map(|best| best.1),
            best_step: self.best.map(|best| best.0),
            tokens_per_s: (done > 0.0).then(|| (done * tokens / seconds).round()),
            interrupted,
            model: folder.exists().then_some(&folder),
            saved: self.saved.as_deref(),
        };
        self.tell(&report)?;
        Ok(!interrupted)
    }

    /// The best validation loss, for the bar.
    fn told(&self) -> String {
        self.best.map_or_else(String::new, |(_, loss)| format!(", validation {loss:.3}"))
    }

    /// Judges the model by the validation data, and keeps it where it is the best so far.
    async fn judge(&mut self, judges: &[Batch], found: &Step, bar: &ProgressBar) -> Result<()> {
        let loss = self.trainer.evaluate(judges).await?;
        let step = found.step;
        self.record.add(Line::judged(step, loss))?;
        if self.best.is_none_or(|(_, best)| loss < best) {
            let folder = self.train.output.join("model");
            self.trainer.export(&folder, &self.frame, self.settings.format()).await?;
            self.best = Some((step, loss));
        }
        self.record.draw()?;
        let (step, train) = (found.step, found.loss);
        bar.suspend(|| {
            output::note(&format!("step {step}: loss {train:.4}, validation {loss:.4}"));
        });
        Ok(())
    }

    /// Saves the step, and lets it speak.
    async fn save(&mut self, bar: &ProgressBar) -> Result<()> {
        let own = Own { settings: self.settings.clone(), data: self.hash.clone() };
        let own = serde_json::to_value(own)
            .map_err(|error| Error::file(&self.train.output, error.to_string()))?;
        let folder = self.trainer.save(&self.train.output, &self.frame, own).await?;
        Saved::keep_last(&self.train.output, self.train.keep.max(1))?;
        if let Some(prompt) = &self.settings.sample {
            let (text, step) = (self.speak(&folder, prompt).await, self.trainer.steps());
            bar.suspend(|| match text {
                Ok(text) => output::note(&format!("step {step} says: {prompt}{text}")),
                // Nothing is wrong with the run.
                Err(error) => log::warn!("step {step} says nothing: {}", output::one_line(&error)),
            });
        }
        self.saved = Some(folder);
        Ok(())
    }

    /// What a saved step says after a text.
    async fn speak(&self, folder: &Path, prompt: &str) -> Result<String> {
        let adapter = self.trainer.engine().gpu().adapter();
        let choice = AdapterChoice {
            backend: Some(adapter.backend.to_lowercase()),
            adapter: Some(adapter.name.clone()),
            ..AdapterChoice::default()
        };
        let options = Options { backend: Backend::Gpu(choice), check: false, ..Options::default() };
        let mut llm = Llm::load(folder, &options, &mut |_, _| {}).await?;
        let ids = llm.encode(prompt, Encode::default())?;
        let sampling =
            Sampling { temperature: 0.8, seed: self.options.seed, ..Sampling::default() };
        let room = self.context.saturating_sub(ids.len());
        let request = Request { max_new_tokens: room.min(120), sampling, ..Request::default() };
        let (generation, _) = llm.generate(&ids, &request, &mut |_| {}).await?;
        Ok(generation.text.unwrap_or_else(|| format!("{:?}", generation.tokens)))
    }

    fn tell(&self, report: &Report<'_>) -> Result<()> {
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
            words += "; interrupted, --resume goes on";
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
