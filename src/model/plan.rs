//! What a session will take, and how it is cut to the device: decided before anything is allocated.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Gpu, shared_places};
use crate::ops::{Cache, CacheFormat, Choices};
use crate::weights::Checkpoint;

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

/// How many rows a chunk has: as many as stay within the budgets of operations and of logits, and no
/// more than there are positions.
pub(super) fn chunk_rows(config: &Config, options: &SessionOptions) -> Result<usize> {
    let positions = context(config, options.context)? * options.sequences;
    if let Some(rows) = options.chunk {
        return Ok(rows.clamp(1, positions));
    }
    let hidden = config.mlp.hidden() * if config.mlp.gated() { 3 } else { 2 };
    let layer = config.width * (2 * config.q_width() + 2 * config.kv_width() + hidden);
    let operations = 2.0 * (config.layers * layer + config.width * config.vocab) as f64;
    let rows = (OPERATIONS / operations) as usize;
    Ok(rows.min(LOGIT_BYTES / (4 * config.vocab)).min(positions).clamp(1, MOST_ROWS))
}

/// What a model, its caches and its activations will take on a device, checked against the device's
/// limits before anything is allocated. Activations are those of reading a prompt and of drawing
/// from it, as a dry recording of both tells.
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] for a buffer over the limits;
/// for a cache it names the largest context that fits.
pub fn plan(
    gpu: &Gpu,
    checkpoint: &Checkpoint,
    load: LoadOptions,
    options: &SessionOptions,
) -> Result<Fit> {
    let cache = layer_cache(checkpoint.config(), options)?;
    check_cache(gpu, &cache)?;
    let model = Model::named(checkpoint, load, gpu.caps())?;
    let places = activations(&model, &Choices::defaults(gpu.caps()), &cache, options)?;
    let limit = gpu.caps().max_buffer_bytes();
    if let Some(bytes) = places.iter().find(|bytes| **bytes > limit) {
        return Err(Error::Memory(format!(
            "reading a prompt needs a buffer of {bytes} bytes, and {} binds {limit}",
            gpu.adapter().name
        )));
    }
    Ok(Fit {
        weights: model.bytes(),
        cache: 2 * cache.bytes() * checkpoint.config().layers as u64,
        activations: places.iter().sum(),
    })
}

/// The bytes of the buffers that hold activations while a prompt is read and continued.
fn activations(
    model: &Model,
    choices: &Choices,
    cache: &Cache,
    options: &SessionOptions,
) -> Result<Vec<u64>> {
    let config = &model.config;
    let (rows, caches) = (BufferId::fresh(), vec![*cache; config.layers]);
    let mut reading = Tape::new(choices);
    forward(&mut reading, model, &caches, rows, chunk_rows(config, options)?)?;
    let mut drawing = Tape::new(choices);
    let x = forward(&mut drawing, model, &caches, rows, options.sequences)?;
    let raw = drawing.tensor(options.sequences, config.vocab);
    logits(&mut drawing, model, x, None, raw)?;
    Ok(shared_places(&[&reading.finish().0, &drawing.finish().0]))
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
    let limit = gpu.caps().max_buffer_bytes();
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
