//! `pellucid bench train`: the speed of training, and how near it is to what the kernels can do.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use pellucid::checkpoint::Checkpoint;
use pellucid::format::Format;
use pellucid::gpu::{Adapter, Engine, Gpu};
use pellucid::model::{LoadOptions, Model};
use pellucid::select::{KernelSelection, Shape};
use pellucid::train::{Batch, Family, Sizes, TrainMemory, TrainOptions, Trainer, new_model};
use pellucid::tune::{ProfileCache, products};
use pellucid::{Error, Result};
use serde::Serialize;

use super::Speed;
use crate::options::DeviceOptions;
use crate::output;

/// Measure the speed of training.
///
/// A step is a forward pass, a backward pass and an adamw update on random tokens, in f32. It
/// counts as 6 N + 12 L H d T floating-point operations per token, for N parameters in matrices, L
/// layers of H heads of width d, and T tokens per sequence. The result is compared with the fastest
/// matrix product, measured in the same run for the model's shapes and a large one.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Run only this model; may be repeated [default: all]
    #[arg(long, value_name = "NAME")]
    only: Vec<Subject>,
    /// Sequences per batch [default: 12 for char, 4 for wide]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: Option<u16>,
    /// Steps to measure; the median is reported
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// Use f16 copies of the weight matrices, as `train --mixed` does
    #[arg(long)]
    mixed: bool,
    /// Ignore the results of `pellucid tune` and use the default kernel variants
    #[arg(long, help_heading = "Device")]
    no_tune: bool,
    /// Print one JSON object instead of a table
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    device: DeviceOptions,
}

/// A model to train.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// 4 layers of 4 heads, width 128, context 64, 65 tokens
    Char,
    /// 6 layers of 6 heads, width 384, context 256, 1,024 tokens
    Wide,
}

/// What was measured of a model.
#[derive(Serialize)]
struct Measured {
    model: &'static str,
    parameters: usize,
    batch: usize,
    context: usize,
    step_ms: f64,
    tok_s: f64,
    gflop_s: f64,
    /// The fastest product, and the share of it.
    product_gflop_s: f64,
    share: f64,
    mixed: bool,
    memory: TrainMemory,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    adapter: Option<&'a Adapter>,
    models: &'a [Measured],
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Wide => "wide",
        }
    }

    fn sizes(self) -> Sizes {
        let [layers, heads, width, context, vocab] = match self {
            Self::Char => [4, 4, 128, 64, 65],
            Self::Wide => [6, 6, 384, 256, 1024],
        };
        Sizes { family: Family::Gpt2, layers, heads, width, context, vocab, ..Sizes::default() }
    }

    fn batch(self) -> usize {
        match self {
            Self::Char => 12,
            Self::Wide => 4,
        }
    }
}

/// A square product of this size is measured too, since the model's may be too small to be fast.
const SQUARE: usize = 512;
const SQUARE_ON_A_GPU: usize = 4096;

/// How long steps run before any is measured.
const WARM: Duration = Duration::from_secs(2);

impl Train {
    pub(crate) async fn run(&self) -> Result<()> {
        let choice = self.device.gpu("cannot train; it only runs models")?;
        let (mut adapter, mut models) = (None, Vec::new());
        for subject in [Subject::Char, Subject::Wide] {
            if self.only.is_empty() || self.only.contains(&subject) {
                let gpu = Gpu::open(&choice).await?;
                adapter = Some(gpu.adapter().clone());
                models.push(self.measure(subject, gpu).await?);
            }
        }
        if self.json {
            return output::json(&Report { adapter: adapter.as_ref(), models: &models });
        }
        output::line(&output::place(adapter.as_ref()))?;
        models.iter().try_for_each(Measured::show)
    }

    async fn measure(&self, subject: Subject, gpu: Gpu) -> Result<Measured> {
        let (name, sizes) = (subject.name(), subject.sizes());
        let batch = self.batch.map_or(subject.batch(), usize::from);
        let context = sizes.context;
        let rows = (batch * context) as f64;
        let profile = ProfileCache::new(gpu.adapter()).load().profile;
        let profile = if self.no_tune { profile.unmeasured() } else { profile };
        let selection = KernelSelection::new(gpu.caps(), profile.clone());
        let square = if gpu.caps().software { SQUARE } else { SQUARE_ON_A_GPU };
        let folder = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?;
        new_model(folder.path(), &sizes.config(None), 0)?;
        let checkpoint = Checkpoint::open(folder.path())?;
        let mut engine = Engine::new(gpu);
        let load = LoadOptions { quantize: Some(Format::F32) };
        let model = Model::load(&mut engine, &checkpoint, load, &mut |_, _| {})?;

        output::note(&format!("{name}: measuring products"));
        let maps = || model.maps().map(|map| &map.weight).chain([model.head()]);
        let mut shapes: Vec<Shape> = Vec::new();
        let big = Shape { format: Format::F32, rows: square, outputs: square, inputs: square };
        for shape in maps().map(|weight| weight.shape(batch * context)).chain([big]) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        let product_gflop_s = products(&mut engine, &profile, &shapes)?;
        let multiplied: usize = maps().map(|weight| weight.rows * weight.columns).sum();
        let attention = 12 * sizes.layers * sizes.width * context;
        let operations = (6 * multiplied + attention) as f64;

        let options = TrainOptions { batch, context, mixed: self.mixed, ..TrainOptions::default() };
        let mut trainer = Trainer::new(engine, model, &selection, options, &checkpoint)?;
        let tokens = |step: u32| {
            let id = |i: usize| (i as u32 ^ step).wrapping_mul(2_654_435_761) >> 8;
            let ids: Vec<u32> = (0..=batch * context).map(|i| id(i) % sizes.vocab as u32).collect();
            Batch { tokens: ids[..batch * context].to_vec(), targets: ids[1..].to_vec() }
        };
        output::note(&format!("{name}: warming up"));
        // The first step compiles, and an idle GPU takes a while to reach its full clock.
        let (start, mut step) = (Instant::now(), 0);
        while step < 2 || start.elapsed() < WARM {
            trainer.step(&[tokens(step)], 1e-4).await?;
            step += 1;
        }
        let mut speeds = Vec::new();
        for _ in 0..self.steps {
            step += 1;
            let batch = [tokens(step)];
            let start = Instant::now();
            trainer.step(&batch, 1e-4).await?;
            speeds.push(rows / start.elapsed().as_secs_f64());
        }
        let tok_s = Speed::new(speeds).median_tok_s;
        let gflop_s = tok_s * operations / 1e9;
        Ok(Measured {
            model: name,
            parameters: trainer.parameter_count(),
            batch,
            context,
            step_ms: rows / tok_s * 1e3,
            tok_s,
            gflop_s,
            product_gflop_s,
            share: gflop_s / product_gflop_s,
            mixed: self.mixed,
            memory: trainer.fit(),
        })
    }
}

impl Measured {
    fn show(&self) -> Result<()> {
        let TrainMemory { parameters, cache, activations, largest_buffer } = self.memory;
        let bytes = indicatif::HumanBytes;
        output::line(&format!(
            "{:<5}{:>8.0} tok/s  {:.1} GFLOP/s, {:.2} of the fastest product's {:.1}; {} x {} tokens in \
             {:.1} ms; {} parameters, {} with gradients and moments, {} for the KV cache, {} for \
             activations, the largest buffer {}",
            self.model,
            self.tok_s,
            self.gflop_s,
            self.share,
            self.product_gflop_s,
            self.batch,
            self.context,
            self.step_ms,
            indicatif::HumanCount(self.parameters as u64),
            bytes(parameters),
            bytes(cache),
            bytes(activations),
            bytes(largest_buffer)
        ))
    }
}
