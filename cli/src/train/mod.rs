//! `pellucid train`: finds the function, rather than loading it.

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

use crate::options::DeviceOptions;
use crate::output;
use material::Material;
use record::Record;
use run::Run;
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
    /// Do not hold the kernels against the reference at the adapter's first use
    #[arg(long)]
    no_check: bool,
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
        let Material { initial, data, hash } = material;
        if own.is_some_and(|own| own.data != hash) {
            return Err(Error::Input(format!(
                "the data is not what the run in {} was begun with",
                self.output.display()
            )));
        }
        let own_context = initial.config().context;
        let context = settings.context.unwrap_or(own_context.min(256));
        let options = settings.options(context);
        data.check(context, initial.config().vocab)?;
        let trainer = self.trainer(&initial, options, saved.as_ref()).await?;
        let record = Record::open(&self.output, trainer.steps())?;
        let judged = record.judged().filter(|(_, loss)| loss.is_finite());
        let best = judged.min_by(|a, b| a.1.total_cmp(&b.1));
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
            let error = output::sentence(&error);
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
        initial: &Checkpoint,
        options: TrainOptions,
        saved: Option<&Saved>,
    ) -> Result<Trainer> {
        let choice = self.device.gpu("cannot learn; it only runs models")?;
        let gpu = Gpu::open(&choice).await?;
        let variants = match saved {
            Some(saved) => {
                // Other variants would sum in another order.
                let selection = KernelSelection::new(gpu.caps(), saved.state.profile.clone());
                if saved.state.plan_key != selection.key() {
                    log::warn!(
                        "the run was begun on another device: it goes on, but not with the same last \
                         bits"
                    );
                }
                Variants::Given(selection)
            }
            None => Variants::Chosen(SelectionPolicy {
                check: !self.no_check,
                tuned: !self.no_tune,
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

/// Says what a run will take, before any of it is allocated.
fn planned(adapter: &Adapter, fit: &TrainMemory, parameters: usize) {
    let [held, cache, activations, largest] =
        [fit.parameters, fit.cache, fit.activations, fit.largest_buffer].map(indicatif::HumanBytes);
    output::note(&format!(
        "{} parameters; learning takes {held} with gradients and moments, {cache} for keys and values, \
         {activations} for activations, the largest buffer {largest}, on {}",
        indicatif::HumanCount(parameters as u64),
        output::place(Some(adapter))
    ));
}
