//! `pellucid train`: trains a model on text.

mod choices;
mod folder;
mod material;
mod record;
mod report;
mod rules;
mod run;
mod settings;

use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::check::{SelectionPolicy, Variants};
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{Adapter, Gpu};
use pellucid::select::KernelSelection;
use pellucid::train::{ModelFiles, Progress, Saved, Schedule, TrainMemory, TrainOptions, Trainer};
use pellucid::{Error, Result};

use crate::options::{DeviceOptions, KernelOptions};
use crate::output;
use folder::{Folder, NEW, Own};
use material::{Material, model_hash, tokenizer_hash};
use record::Record;
use run::Run;
use settings::{OUTPUT, Settings};

/// Train a model on text.
///
/// The model is a new one, of the sizes given by --preset or by --layers, --heads, --width and
/// --context, or an existing one given by --from.
///
/// The output folder receives model/, the model with the lowest validation loss in Hugging Face's
/// layout, which `pellucid generate` can run; log.jsonl, with a line for each step; loss.svg, a
/// plot of the losses; and the latest checkpoints. With --resume, a run that was interrupted
/// continues from its last checkpoint, and ends with the same bits as an uninterrupted run; one that
/// has ended continues up to more --steps.
#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    settings: Settings,
    /// Read options from a TOML file; flags override it
    ///
    /// Each key has the name of a flag without the dashes, as in `val-fraction = 0.1`. The files to
    /// train on are the list `data`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything that the run writes
    #[arg(short, long, value_name = "FOLDER", default_value = "run", help_heading = OUTPUT)]
    output: PathBuf,
    /// Continue the run in --output from its last checkpoint
    #[arg(long)]
    resume: bool,
    /// Number of checkpoints to keep [default: 2]
    #[arg(long, value_name = "N", help_heading = OUTPUT)]
    keep: Option<usize>,
    /// Print the summary as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    kernels: KernelOptions,
}

impl Train {
    /// Trains; returns whether the run was finished.
    pub(crate) async fn run(&self) -> Result<bool> {
        if self.keep == Some(0) {
            return Err(Error::Input("--keep must be 1 or more; see --save-every 0".to_owned()));
        }
        let given = self.settings.clone().with_file(self.config.as_deref())?;
        // Whatever is refused from here to the first step leaves the folder as it was.
        let given_sample = given.sample.is_some();
        let folder = Folder::open(&self.output)?;
        let saved = self.saved(&folder)?;
        let before = match &saved {
            // The steps may have become more since the checkpoint.
            Some(saved) => {
                let own = own(saved)?;
                let settings = folder.own().map(|run| run.settings).unwrap_or_else(|error| {
                    let error = output::sentence(&error);
                    log::warn!("{error}; using the settings in the checkpoint");
                    own.settings.clone()
                });
                Some(Own { settings, ..own })
            }
            None if folder.begun() => Some(folder.own()?),
            None => None,
        };
        let settings = match &before {
            None => {
                given.check()?;
                given.with_preset()
            }
            Some(before) => self.resumed(given, before, saved.as_ref())?,
        };
        if self.keep.is_some() && settings.save_every == Some(0) {
            let reason = "--keep is for checkpoints, but --save-every 0 saves none";
            return Err(Error::Input(reason.to_owned()));
        }
        if settings.sample.is_some() && settings.save_every == Some(0) {
            // `check` refuses this of a new run.
            let reason = "--sample is printed at each checkpoint, but --save-every 0 saves none";
            if given_sample {
                return Err(Error::Input(reason.to_owned()));
            }
            log::warn!("{reason}: the run's own sample is not printed");
        }
        let schedule = settings.schedule()?;
        if schedule.warmup > schedule.steps {
            log::warn!(
                "--warmup {} is longer than the run of {} steps, so the learning rate never reaches {}",
                schedule.warmup,
                schedule.steps,
                schedule.peak_lr
            );
        }
        let material = Material::read(&settings, saved.as_ref())?;
        let now = Own {
            settings: settings.clone().absolute()?,
            data: material.hash.clone(),
            tokenizer: material.tokenizer.clone(),
            from: material.from.clone(),
            best: None,
        };
        let own = match before {
            None => now,
            Some(before) => {
                // A checkpoint holds what the model and its tokenizer have become.
                let same = saved.is_some()
                    || [&before.tokenizer, &before.from] == [&now.tokenizer, &now.from];
                if !same || before.data != now.data {
                    let what = if same { "data" } else { "model or its tokenizer" };
                    return Err(Error::Input(format!(
                        "the {what} is not the one that the run in {} was started with; use that one to \
                         resume it, or choose another --output",
                        self.output.display()
                    )));
                }
                Own { settings: now.settings, ..before }
            }
        };
        self.begin(folder, material, own, schedule, saved).await
    }

    /// Prepares the run in its folder, and makes its steps.
    async fn begin(
        &self,
        mut folder: Folder,
        material: Material,
        mut own: Own,
        schedule: Schedule,
        saved: Option<Saved>,
    ) -> Result<bool> {
        let settings = own.settings.clone();
        let context = settings.context.unwrap_or(material.context.min(256));
        let options = settings.options(context);
        material.data.check(context, material.vocab)?;
        if !folder.begun() {
            folder.take()?;
        }
        let own_context = material.context;
        let new = self.output.join(NEW);
        let (initial, data) = material.into_parts(&new, settings.seed.unwrap_or(0))?;
        let files = ModelFiles::of(&initial)?;
        let trainer = self.trainer(&initial, options, saved.as_ref()).await?;
        let record = Record::open(&self.output, trainer.steps())?;
        if saved.is_none() {
            own.best = None;
        }
        let run = Run {
            train: self,
            own,
            folder,
            schedule,
            options,
            files,
            context: own_context,
            data,
            trainer,
            record,
            saved: saved.map(|saved| saved.folder),
        };
        run.go().await
    }

    /// The checkpoint to continue from.
    fn saved(&self, folder: &Folder) -> Result<Option<Saved>> {
        match (folder.begun(), self.resume) {
            (true, true) => {}
            (true, false) => {
                return Err(Error::Input(format!(
                    "{} holds a run; use --resume to continue it, or another --output to start one",
                    self.output.display()
                )));
            }
            (false, true) => {
                let output = self.output.display();
                output::note(&format!("there is no run to resume in {output}; starting a new one"));
                return Ok(None);
            }
            (false, false) => return Ok(None),
        }
        let mut damaged = |folder: &Path, error: Error| {
            let error = output::sentence(&error);
            log::warn!("{}: {error}; using the checkpoint before it", folder.display());
        };
        let saved = Saved::latest(&self.output, &mut damaged)?;
        match &saved {
            Some(saved) => output::note(&format!("resuming after step {}", saved.state.step)),
            None => output::note("the run has saved no checkpoint; starting it from the beginning"),
        }
        Ok(saved)
    }

    /// The settings of a run that goes on.
    ///
    /// # Errors
    /// [`Error::Input`] if others are asked for.
    fn resumed(&self, given: Settings, before: &Own, saved: Option<&Saved>) -> Result<Settings> {
        let own = &before.settings;
        let mut differ = given.differ(own);
        if given.tokenizer.is_some()
            && tokenizer_hash(given.tokenizer.as_deref())? != before.tokenizer
        {
            differ.push("tokenizer".to_owned());
        }
        if given.from.is_some() && model_hash(given.from.as_deref())? != before.from {
            differ.push("from".to_owned());
        }
        let (steps, made) = (own.steps.unwrap_or(0), saved.map_or(0, |saved| saved.state.step));
        let more = given.steps.filter(|given| *given != steps);
        if more.is_some_and(|more| made < steps || more < steps) {
            differ.push("steps".to_owned());
        }
        if !differ.is_empty() {
            let hint = if more.is_some_and(|more| more > steps && made < steps) {
                "; --steps can be raised when it has ended"
            } else {
                ""
            };
            return Err(Error::Input(format!(
                "the run in {} was started with other settings of: {}; leave them out to resume it, or \
                 choose another --output{hint}",
                self.output.display(),
                differ.join(", ")
            )));
        }
        let mut settings = given.resumed(own);
        if let Some(more) = more {
            output::note(&format!(
                "the run continues from step {steps} to {more}, with the learning rates of a run of {more} \
                 steps"
            ));
            settings.steps = Some(more);
        }
        Ok(settings)
    }

    /// The model on the device, ready to train.
    async fn trainer(
        &self,
        initial: &Checkpoint,
        options: TrainOptions,
        saved: Option<&Saved>,
    ) -> Result<Trainer> {
        let choice = self.device.gpu("cannot train; it only runs models")?;
        let gpu = Gpu::open(&choice).await?;
        let variants = match saved {
            Some(saved) => {
                // Other variants would add in another order.
                let selection = KernelSelection::new(gpu.caps(), saved.state.profile.clone());
                if saved.state.plan_key != selection.key() {
                    log::warn!(
                        "the run was started on another device: its results will differ in the last \
                         bits"
                    );
                }
                Variants::Given(selection)
            }
            None => Variants::Chosen(SelectionPolicy {
                check: !self.kernels.no_check,
                tuned: !self.kernels.no_tune,
                ..SelectionPolicy::default()
            }),
        };
        let bar = output::loading_bar();
        let progress = |progress: Progress<'_>| match progress {
            Progress::Planned { adapter, fit, parameters } => planned(adapter, fit, parameters),
            Progress::Loaded { done, total } => {
                bar.set_length(total);
                bar.set_position(done);
            }
        };
        let trainer = Trainer::open(gpu, initial, options, variants, progress).await;
        bar.finish_and_clear();
        let mut trainer = trainer?;
        if let Some(saved) = saved {
            trainer.resume(saved)?;
        }
        Ok(trainer)
    }
}

/// What the run is whose checkpoint this is.
fn own(saved: &Saved) -> Result<Own> {
    serde_json::from_value(saved.state.run.clone()).map_err(|error| {
        let path = saved.folder.join("state.json");
        Error::file(&path, format!("is not a run of `pellucid train`: {error}"))
    })
}

/// Reports what a run will take, before any of it is allocated.
fn planned(adapter: &Adapter, fit: &TrainMemory, parameters: usize) {
    let [held, cache, activations, largest] =
        [fit.parameters, fit.cache, fit.activations, fit.largest_buffer].map(indicatif::HumanBytes);
    output::note(&format!(
        "{} parameters; training takes {held} with gradients and moments, {cache} for the KV cache, \
         {activations} for activations, the largest buffer {largest}, on {}",
        indicatif::HumanCount(parameters as u64),
        output::place(Some(adapter))
    ));
}
