//! What a session will take, and how it is cut to the device: decided before anything is allocated.

use crate::check::Workload;
use crate::config::{Config, Mlp};
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Gpu, Program};
use crate::names::Sampling;
use crate::ops::{Cache, CacheFormat, Choices, LogProb, Penalties, Sample, Shape, TopK};
use crate::weights::Checkpoint;

use super::load::device_bytes;
use super::{Fit, LoadOptions, Model, Tape, forward, logits};

/// How much a session holds.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Positions of each sequence; without, the smaller of the model's context and 4,096.
    pub context: Option<usize>,
    /// Sequences side by side.
    pub sequences: usize,
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Rows that run at once while reading a prompt; without, what keeps a submit short.
    pub chunk: Option<usize>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { context: None, sequences: 1, cache: CacheFormat::F32, chunk: None }
    }
}

/// The context if nobody asks for another: the model's own, up to this.
const DEFAULT_CONTEXT: usize = 4096;

/// The most rows that run at once.
const MOST_ROWS: usize = 128;

/// Operations in one submit: well under the 2 s after which watchdogs kill it on a slow GPU.
const OPERATIONS: f64 = 4e11;

/// The most bytes of logits that exist at once.
const LOGIT_BYTES: usize = 64 << 20;

/// The positions of a sequence: what is asked for, else the smaller of the model's own and 4,096.
///
/// # Errors
/// [`Error::Input`] for none at all or more than the model's own.
pub fn context(config: &Config, asked: Option<usize>) -> Result<usize> {
    let context = asked.unwrap_or(config.context.min(DEFAULT_CONTEXT));
    if context == 0 || context > config.context {
        return Err(Error::Input(format!(
            "--context must be from 1 to the model's own {}, got {context}",
            config.context
        )));
    }
    Ok(context)
}

/// How many rows a chunk has: as many as stay within the budgets of operations and of logits.
pub(super) fn chunk_rows(model: &Model) -> usize {
    let config = &model.config;
    let hidden = config.mlp.hidden() * if matches!(config.mlp, Mlp::SwiGlu { .. }) { 3 } else { 2 };
    let layer = config.width * (2 * config.q_width() + 2 * config.kv_width() + hidden);
    let operations = 2.0 * (config.layers * layer + config.width * config.vocab) as f64;
    let rows = (OPERATIONS / operations) as usize;
    rows.min(LOGIT_BYTES / (4 * config.vocab)).clamp(1, MOST_ROWS)
}

/// What model and caches will take on a device, checked against its limits before anything is
/// allocated; activations are not known before a recording and count as 0.
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] for a cache over the limits;
/// that one names the largest context that fits.
pub fn plan(
    gpu: &Gpu,
    checkpoint: &Checkpoint,
    load: LoadOptions,
    options: &SessionOptions,
) -> Result<Fit> {
    let cache = layer_cache(checkpoint.config(), options)?;
    check_cache(gpu, &cache)?;
    Ok(Fit {
        weights: device_bytes(checkpoint, load)?,
        cache: 2 * cache.bytes() * checkpoint.config().layers as u64,
        activations: 0,
    })
}

/// What a session does most: the linear maps of a step and of a whole chunk of a prompt.
pub fn workload(model: &Model, options: &SessionOptions) -> Workload {
    let chunk = options.chunk.unwrap_or_else(|| chunk_rows(model)).max(1);
    let mut shapes: Vec<Shape> = Vec::new();
    let maps = || model.maps().map(|map| &map.weight);
    let of_step = maps().chain([model.head()]).map(|weight| Shape::new(weight, options.sequences));
    for shape in of_step.chain(maps().map(|weight| Shape::new(weight, chunk))) {
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    Workload { shapes, width: model.config.width }
}

/// The programs that a session runs to read, to score and to generate, as far as variants go.
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Shape`] if the model's tensors do not
/// fit together.
pub fn programs(
    model: &Model,
    choices: &Choices,
    options: &SessionOptions,
) -> Result<Vec<Program>> {
    let caches = vec![layer_cache(&model.config, options)?; model.config.layers];
    let chunk = options.chunk.unwrap_or_else(|| chunk_rows(model)).max(1);
    let mut programs = Vec::new();
    // Which variant multiplies depends on the rows by powers of two.
    let mut counts: Vec<usize> = (0..).map(|i| 1 << i).take_while(|rows| *rows < chunk).collect();
    counts.push(chunk);
    for count in counts {
        let [rows, targets, out, ids] = [(); 4].map(|()| BufferId::fresh());
        let mut tape = Tape::new(choices);
        let x = forward(&mut tape, model, &caches, rows, count)?;
        let raw = tape.tensor(count, model.config.vocab);
        logits(&mut tape, model, x, None, raw)?;
        tape.push(LogProb { logits: raw, targets, out })?;
        tape.push(TopK { logits: raw, k: 1, chosen: None, out: ids })?;
        let (counts, sampling) = (targets, Sampling::default());
        let less = tape.tensor(count, model.config.vocab);
        tape.push(Penalties { logits: raw, counts, sampling, out: less })?;
        tape.push(Sample { logits: less, rows, counts: None, sampling, ids, ring: 1 })?;
        let recording = tape.finish().0;
        programs.extend(recording.dispatches().iter().map(|dispatch| dispatch.program.clone()));
    }
    Ok(programs)
}

/// The shape of one layer's cache; its buffers are named but not made.
pub(super) fn layer_cache(config: &Config, options: &SessionOptions) -> Result<Cache> {
    Ok(Cache {
        k: BufferId::fresh(),
        v: BufferId::fresh(),
        format: options.cache,
        sequences: options.sequences,
        context: context(config, options.context)?,
        heads: config.kv_heads,
        width: config.head_width,
    })
}

pub(super) fn check_cache(gpu: &Gpu, cache: &Cache) -> Result<()> {
    let limit = gpu.caps().max_binding.min(gpu.caps().max_buffer);
    if cache.bytes() <= limit {
        return Ok(());
    }
    let fits = u128::from(limit) * cache.context as u128 / u128::from(cache.bytes());
    Err(Error::Memory(format!(
        "a context of {} needs {} bytes of keys a layer, and {} binds {limit}; the largest that fits is --context {fits}",
        cache.context,
        cache.bytes(),
        gpu.adapter().name
    )))
}
