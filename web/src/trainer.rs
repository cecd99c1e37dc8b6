//! Training in the browser.

use std::sync::Arc;

use js_sys::Uint8Array;
use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::files::Files;
use pellucid::format::Format;
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::tokenizer::Names;
use pellucid::train::{
    self, Corpus, Data, Decay, Family, Learn, ModelFiles, NewModel, Optimizer, Preset, Schedule,
    Sizes, TrainMemory, TrainOptions,
};
use pellucid::tune::KeyValueStorage;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::archive;
use crate::doctor::{Visits, storage};
use crate::model::Model;
use crate::value::{Result, fault, plain, read, to_js_error};

/// A run of training.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Trainer {
    trainer: train::Trainer,
    files: ModelFiles,
    data: Data,
    schedule: Schedule,
    /// The model when it was last read from the device, and its number of steps.
    known: (Files, u64),
    storage: Arc<dyn KeyValueStorage>,
}

/// The settings of a run. The defaults are those of the program's `--preset char`.
#[derive(Clone, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    family: Family,
    layers: usize,
    heads: usize,
    kv_heads: Option<usize>,
    width: usize,
    hidden: Option<usize>,
    untied: bool,
    context: usize,
    batch: usize,
    steps: u64,
    lr: f64,
    min_lr: Option<f64>,
    warmup: Option<u64>,
    decay: Decay,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    clip: f64,
    dropout: f64,
    mixed: bool,
    seed: u64,
    val_fraction: f64,
}

impl Default for Settings {
    fn default() -> Self {
        let Sizes { family, layers, heads, kv_heads, width, hidden, context, untied, .. } =
            Preset::Char.sizes(0);
        let TrainOptions { batch, optimizer, clip, dropout, seed, mixed, .. } =
            Preset::Char.options();
        let (betas, weight_decay) = match optimizer {
            Optimizer::AdamW { betas, decay, .. } => (betas, decay),
            Optimizer::Sgd => ([0.0; 2], 0.0),
        };
        let Schedule { steps, peak_lr, decay, .. } = Preset::Char.schedule();
        Self {
            family,
            layers,
            heads,
            kv_heads,
            width,
            hidden,
            untied,
            context,
            batch,
            steps,
            lr: peak_lr,
            min_lr: None,
            warmup: None,
            decay,
            beta1: betas[0],
            beta2: betas[1],
            weight_decay,
            clip,
            dropout,
            mixed,
            seed,
            val_fraction: Data::VALIDATION_SHARE,
        }
    }
}

impl Settings {
    fn options(&self) -> TrainOptions {
        let TrainOptions { mut optimizer, .. } = TrainOptions::default();
        if let Optimizer::AdamW { betas, decay, .. } = &mut optimizer {
            (*betas, *decay) = ([self.beta1, self.beta2], self.weight_decay);
        }
        TrainOptions {
            batch: self.batch,
            context: self.context,
            optimizer,
            clip: self.clip,
            dropout: self.dropout,
            seed: self.seed,
            mixed: self.mixed,
        }
    }

    fn schedule(&self) -> Schedule {
        let usual = Schedule::new(self.steps, self.lr);
        Schedule {
            warmup: self.warmup.unwrap_or(usual.warmup),
            min_lr: self.min_lr.unwrap_or(usual.min_lr),
            decay: self.decay,
            ..usual
        }
    }

    /// The sizes of the model, except for its vocabulary.
    fn sizes(&self) -> Sizes {
        let &Self { family, layers, heads, kv_heads, width, hidden, context, untied, .. } = self;
        Sizes { family, layers, heads, kv_heads, width, hidden, context, vocab: 0, untied }
    }
}

/// Facts about a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    parameters: usize,
    vocab: usize,
    train_tokens: usize,
    valid_tokens: usize,
    tokens_per_step: usize,
    steps: u64,
    memory: TrainMemory,
}

/// The results of a step.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    step: u64,
    loss: f64,
    gradient_norm: f64,
    rate: f64,
}

#[wasm_bindgen]
impl Trainer {
    /// Creates a new model with this tokenizer, to train on a text; `visits` stores what is found
    /// out about the adapter.
    pub async fn create(
        text: String,
        tokenizer: String,
        settings: JsValue,
        visits: Visits,
    ) -> Result<Self> {
        let settings: Settings = read("the training settings", &settings)?;
        if text.trim().is_empty() {
            return Err(fault("input", "there is no text to train on"));
        }
        let model = NewModel::new(settings.sizes(), tokenizer).map_err(to_js_error)?;
        let files = model.in_memory(settings.seed).map_err(to_js_error)?;
        Self::begin(files, &text, &settings, storage(visits)).await
    }

    /// Prepares the model of these files to train on a text.
    async fn begin(
        files: Files,
        text: &str,
        settings: &Settings,
        storage: Arc<dyn KeyValueStorage>,
    ) -> Result<Self> {
        let checkpoint = &Checkpoint::open_files(files.clone()).map_err(to_js_error)?;
        let missing = || fault("input", "the model has no tokenizer");
        let tokenizer = pellucid::tokenizer::Tokenizer::from_checkpoint(checkpoint);
        let tokenizer = tokenizer.map_err(to_js_error)?.ok_or_else(missing)?;
        let corpus = Corpus::of(checkpoint, &tokenizer, Names::End, Learn::Answers);
        let tokens = corpus.map_err(to_js_error)?.text(text).map_err(to_js_error)?;
        let data = Data::split(tokens, settings.val_fraction).map_err(to_js_error)?;
        data.check(settings.context, checkpoint.config().vocab).map_err(to_js_error)?;
        let model_files = ModelFiles::of(checkpoint).map_err(to_js_error)?;
        let trainer = open(checkpoint, settings.options(), &storage).await?;
        let schedule = settings.schedule();
        Ok(Self { trainer, files: model_files, data, schedule, known: (files, 0), storage })
    }

    /// Facts about the run.
    pub fn info(&self) -> Result<JsValue> {
        let options = self.trainer.options();
        plain(&Info {
            parameters: self.trainer.parameter_count(),
            vocab: self.trainer.model().config.vocab,
            train_tokens: self.data.train.len(),
            valid_tokens: self.data.valid.len(),
            tokens_per_step: options.batch * options.context,
            steps: self.schedule.steps,
            memory: self.trainer.fit(),
        })
    }

    /// Runs the next step.
    pub async fn step(&mut self) -> Result<JsValue> {
        let before = self.trainer.steps();
        let lr = self.schedule.lr(before);
        let batches = self.data.batches(self.trainer.options(), before, 1);
        let train::Step { step, loss, gradient_norm } =
            self.trainer.step(&batches, lr).await.map_err(to_js_error)?;
        plain(&Step { step, loss, gradient_norm, rate: lr })
    }

    /// The validation loss over at most `batches` batches; undefined without validation data.
    pub async fn evaluate(&mut self, batches: usize) -> Result<Option<f64>> {
        let batches = self.data.validation(self.trainer.options(), batches);
        if batches.is_empty() {
            return Ok(None);
        }
        self.trainer.evaluate(&batches).await.map(Some).map_err(to_js_error)
    }

    /// The current model: a folder in Hugging Face's layout, in a ZIP archive.
    pub async fn save(&mut self, half: bool) -> Result<Uint8Array> {
        let format = if half { Format::F16 } else { Format::F32 };
        let files = self.trainer.files(&self.files, format).await.map_err(to_js_error)?;
        Ok(Uint8Array::from(archive::pack(&files).map_err(to_js_error)?.as_slice()))
    }

    /// The current model, on a device of its own, to generate with. A run whose device is lost
    /// later continues from here.
    pub async fn model(&mut self, name: String) -> Result<Model> {
        let files = self.trainer.files(&self.files, Format::F32).await.map_err(to_js_error)?;
        let files = Files::in_memory(&name, files);
        self.known = (files.clone(), self.trainer.steps());
        let checkpoint = Checkpoint::open_files(files).map_err(to_js_error)?;
        Model::of(name, checkpoint, Arc::clone(&self.storage)).await
    }

    /// Opens a new device after a loss, with the model as it was last read; returns its number of
    /// steps. The optimizer's moments start from zero.
    pub async fn revive(&mut self) -> Result<f64> {
        let (files, steps) = &self.known;
        let checkpoint = Checkpoint::open_files(files.clone()).map_err(to_js_error)?;
        self.trainer = open(&checkpoint, *self.trainer.options(), &self.storage).await?;
        self.trainer.set_steps(*steps);
        Ok(*steps as f64)
    }

    /// Destroys the device, as a driver's reset would; for tests.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        self.trainer.engine().gpu().destroy();
    }
}

/// The model on the device, ready to train.
async fn open(
    initial: &Checkpoint,
    options: TrainOptions,
    storage: &Arc<dyn KeyValueStorage>,
) -> Result<train::Trainer> {
    let gpu = Gpu::open(&AdapterChoice::default()).await.map_err(to_js_error)?;
    let policy =
        SelectionPolicy { storage: Some(Arc::clone(storage)), ..SelectionPolicy::default() };
    train::Trainer::open(gpu, initial, options, policy, |_| {}).await.map_err(to_js_error)
}
