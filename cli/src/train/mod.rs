//! `pellucid train`: trains a model on text.

mod choices;
mod material;
mod record;
mod run;
mod settings;

use std::path::{Path, PathBuf};

use clap::Args;
use pellucid::check::{SelectionPolicy, Variants};
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{Adapter, Gpu};
use pellucid::select::KernelSelection;
use pellucid::train::{ModelFiles, Progress, Saved, TrainMemory, TrainOptions, Trainer};
use pellucid::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::options::{DeviceOptions, KernelOptions};
use crate::output;
use material::Material;
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
/// continues from its last checkpoint, and ends with the same bits as an uninterrupted run.
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
    /// Number of checkpoints to keep
    #[arg(long, value_name = "N", default_value_t = 2, help_heading = OUTPUT)]
    keep: usize,
    /// Print the summary as JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
    #[command(flatten)]
    kernels: KernelOptions,
}

/// What a checkpoint records about the run.
#[derive(Debug, Serialize, Deserialize)]
struct Own {
    settings: Settings,
    /// The hash of all tokens.
    data: String,
}

impl Train {
    /// Trains; returns whether the run was finished.
    pub(crate) async fn run(&self) -> Result<bool> {
        let given = self.settings.clone().complete(self.config.as_deref())?;
        let saved = self.saved()?;
        let (settings, own) = match &saved {
            None => (given, None),
            Some(saved) => {
                let path = saved.folder.join("state.json");
                let own: Own =
                    serde_json::from_value(saved.state.run.clone()).map_err(|error| {
                        Error::file(&path, format!("is not a run of `pellucid train`: {error}"))
                    })?;
                let differ = given.differ(&own.settings);
                if !differ.is_empty() {
                    return Err(Error::Input(format!(
                        "the run in {} was started with other settings of: {}; leave them out to \
                         resume it, or choose another --output",
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
        let Material { initial, data, hash } = material;
        if own.is_some_and(|own| own.data != hash) {
            return Err(Error::Input(format!(
                "the data is not what the run in {} was started with",
                self.output.display()
            )));
        }
        let own_context = initial.config().context;
        let context = settings.context.unwrap_or(own_context.min(256));
        let options = settings.options(context);
        data.check(context, initial.config().vocab)?;
        let trainer = self.trainer(&initial, options, saved.as_ref()).await?;
        let record = Record::open(&self.output, trainer.steps())?;
        let evaluated = record.evaluations().filter(|(_, loss)| loss.is_finite());
        let best = evaluated.min_by(|a, b| a.1.total_cmp(&b.1));
        let saved = saved.map(|saved| saved.folder);
        let run = Run {
            train: self,
            settings,
            schedule,
            options,
            files: ModelFiles::of(&initial)?,
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

    /// The checkpoint to continue from.
    fn saved(&self) -> Result<Option<Saved>> {
        if !self.resume {
            if record::is_empty(&self.output)? {
                return Ok(None);
            }
            return Err(Error::Input(format!(
                "{} is not empty; use --resume to continue a run, or another --output to start one",
                self.output.display()
            )));
        }
        let mut damaged = |folder: &Path, error: Error| {
            let error = output::sentence(&error);
            log::warn!("{}: {error}; using the checkpoint before it", folder.display());
        };
        let saved = Saved::latest(&self.output, &mut damaged)?;
        if let Some(saved) = &saved {
            output::note(&format!("resuming after step {}", saved.state.step));
        }
        Ok(saved)
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
