//! A model that learns from a text.

use std::sync::Arc;

use js_sys::Uint8Array;
use pellucid::check::{self, Wishes};
use pellucid::files::{Files, ReadAt};
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::model::{LoadOptions, Model as Weights};
use pellucid::names::Format;
use pellucid::ops::Choices;
use pellucid::text::{Bos, Encode};
use pellucid::train::{
    self, Data, Decay, Family, Fit, Frame, Optimizer, Rehearsal, Schedule, Sizes, TrainOptions,
    new_model_in_memory,
};
use pellucid::weights::Checkpoint;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::archive;
use crate::model::Model;
use crate::tokenizer::Tokenizer;
use crate::value::{Result, fault, plain, read, told};

/// The name of the token that most tokenizers end a text with.
const END: &str = "<|endoftext|>";

/// A run of training.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Trainer {
    trainer: train::Trainer,
    frame: Frame,
    data: Data,
    schedule: Schedule,
    /// The model as it was when it was last read from the device, and after how many steps.
    known: (Files, u64),
}

/// What a run is like. The defaults are those of the program's `--preset char`.
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
    rate: f64,
    floor: Option<f64>,
    warmup: Option<u64>,
    decay: Decay,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    clip: f64,
    dropout: f64,
    mixed: bool,
    seed: u64,
    valid_share: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            family: Family::Gpt2,
            layers: 4,
            heads: 4,
            kv_heads: None,
            width: 128,
            hidden: None,
            untied: false,
            context: 64,
            batch: 12,
            steps: 2000,
            rate: 2e-3,
            floor: None,
            warmup: None,
            decay: Decay::Cosine,
            beta1: 0.9,
            beta2: 0.99,
            weight_decay: 0.1,
            clip: 1.0,
            dropout: 0.0,
            mixed: false,
            seed: 0,
            valid_share: 0.1,
        }
    }
}

impl Settings {
    fn options(&self) -> TrainOptions {
        let (betas, decay) = ([self.beta1, self.beta2], self.weight_decay);
        TrainOptions {
            batch: self.batch,
            context: self.context,
            optimizer: Optimizer::AdamW { betas, eps: 1e-8, decay },
            clip: self.clip,
            dropout: self.dropout,
            seed: self.seed,
            mixed: self.mixed,
        }
    }

    fn schedule(&self) -> Schedule {
        Schedule {
            steps: self.steps,
            warmup: self.warmup.unwrap_or(self.steps / 20),
            peak: self.rate,
            floor: self.floor.unwrap_or(self.rate / 10.0),
            decay: self.decay,
            last: self.steps / 5,
        }
    }

    fn sizes(&self, vocab: usize) -> Sizes {
        let &Self { family, layers, heads, kv_heads, width, hidden, context, untied, .. } = self;
        Sizes { family, layers, heads, kv_heads, width, hidden, context, vocab, untied }
    }
}

/// What there is to tell of a run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    parameters: usize,
    vocab: usize,
    train_tokens: usize,
    valid_tokens: usize,
    tokens_per_step: usize,
    steps: u64,
    memory: Fit,
}

/// What a step found.
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
    /// Makes a new model with this tokenizer ready to learn from a text.
    pub async fn create(text: String, tokenizer: String, settings: JsValue) -> Result<Self> {
        let settings: Settings = read("the settings of training", &settings)?;
        let own = Tokenizer::new(&tokenizer)?.0;
        if own.vocab_size() == 0 || text.trim().is_empty() {
            return Err(fault("input", "there is no text to learn from"));
        }
        let config = settings.sizes(own.vocab_size()).config(own.id(END));
        // Else other programs would take the tokenizer for that of the model's family.
        let class = "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n";
        let beside = [("tokenizer.json", tokenizer.as_str()), ("tokenizer_config.json", class)];
        let beside = beside.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        let files = new_model_in_memory(&config, settings.seed, beside).map_err(told)?;
        Self::begin(files, &text, &settings).await
    }

    /// Makes the model of these files ready to learn from a text.
    async fn begin(files: Files, text: &str, settings: &Settings) -> Result<Self> {
        let checkpoint = &Checkpoint::open_files(files.clone()).map_err(told)?;
        let missing = || fault("input", "the model has no tokenizer");
        let tokenizer = pellucid::text::Tokenizer::from_checkpoint(checkpoint);
        let tokenizer = tokenizer.map_err(told)?.ok_or_else(missing)?;
        let encode = Encode { bos: Bos::Never, ..Encode::default() };
        let tokens = tokenizer.encode(text, encode).map_err(told)?;
        let data = Data::split(tokens, settings.valid_share).map_err(told)?;
        data.check(settings.context, checkpoint.config().vocab).map_err(told)?;
        let frame = Frame::of(checkpoint).map_err(told)?;
        let trainer = trainer(checkpoint, settings.options()).await.map_err(told)?;
        Ok(Self { trainer, frame, data, schedule: settings.schedule(), known: (files, 0) })
    }

    /// What there is to tell of the run.
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

    /// Learns from the batch of the next step.
    pub async fn step(&mut self) -> Result<JsValue> {
        let before = self.trainer.steps();
        let rate = self.schedule.rate(before);
        let batches = self.data.batches(self.trainer.options(), before, 1);
        let train::Step { step, loss, gradient_norm } =
            self.trainer.step(&batches, rate).await.map_err(told)?;
        plain(&Step { step, loss, gradient_norm, rate })
    }

    /// The loss over the text that is kept to judge by, of at most so many batches; undefined where
    /// none is kept.
    pub async fn evaluate(&mut self, batches: usize) -> Result<Option<f64>> {
        let batches = self.data.validation(self.trainer.options(), batches);
        if batches.is_empty() {
            return Ok(None);
        }
        self.trainer.evaluate(&batches).await.map(Some).map_err(told)
    }

    /// The model as it is by now: a folder in Hugging Face's layout, in a ZIP archive.
    pub async fn save(&mut self, half: bool) -> Result<Uint8Array> {
        let format = if half { Format::F16 } else { Format::F32 };
        let files = self.trainer.files(&self.frame, format).await.map_err(told)?;
        Ok(Uint8Array::from(archive::pack(&files).map_err(told)?.as_slice()))
    }

    /// The model as it is by now, on a device of its own, to generate with. From here a run goes on
    /// whose device is lost later.
    pub async fn model(&mut self, name: String) -> Result<Model> {
        let files = self.trainer.files(&self.frame, Format::F32).await.map_err(told)?;
        let file = |(name, bytes): (String, Vec<u8>)| (name, Arc::new(bytes) as Arc<dyn ReadAt>);
        let files = Files::given(&name, files.into_iter().map(file));
        self.known = (files.clone(), self.trainer.steps());
        Model::of(name, Checkpoint::open_files(files).map_err(told)?).await
    }

    /// Opens a device anew after a loss, with the model as it was last read; gives after how many steps
    /// that was. The moments of its gradients begin anew.
    pub async fn revive(&mut self) -> Result<f64> {
        let (files, steps) = &self.known;
        let checkpoint = Checkpoint::open_files(files.clone()).map_err(told)?;
        self.trainer = trainer(&checkpoint, *self.trainer.options()).await.map_err(told)?;
        self.trainer.set_steps(*steps);
        Ok(*steps as f64)
    }

    /// Gives the device up, as a driver's reset would, for those who test what then happens.
    #[wasm_bindgen(js_name = loseDevice)]
    pub fn lose_device(&self) {
        self.trainer.engine().gpu().destroy();
    }
}

/// The model on the device, ready to learn.
async fn trainer(began: &Checkpoint, options: TrainOptions) -> pellucid::Result<train::Trainer> {
    let gpu = Gpu::open(&AdapterChoice::default()).await?;
    let load = LoadOptions { quantize: Some(Format::F32) };
    let named = Weights::named(began, load, gpu.caps())?;
    let rehearsal = Rehearsal::new(&gpu, &named, options)?;
    let programs = |choices: &Choices| rehearsal.programs(choices);
    let wishes = Wishes { check: true, tuned: true, half: false };
    let (mut engine, choices) = check::choose(gpu, &named.config, wishes, &programs).await?;
    rehearsal.fit(engine.gpu(), &choices)?;
    let model = Weights::load(&mut engine, began, load, &mut |_, _| {})?;
    train::Trainer::new(engine, model, &choices, options, began)
}
