//! What a session will take, and how it is cut to the device: decided before anything is allocated.

use crate::config::{Config, Mlp};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::ops::{Cache, CacheFormat};
use crate::weights::Checkpoint;

use super::load::device_bytes;
use super::{Fit, LoadOptions, Model};

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
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] where the device binds too
/// little for even four positions of the cache.
pub fn plan(
    gpu: &Gpu,
    checkpoint: &Checkpoint,
    load: LoadOptions,
    options: &SessionOptions,
) -> Result<Fit> {
    let cache = layer_cache(gpu, checkpoint.config(), options)?;
    Ok(Fit {
        weights: device_bytes(checkpoint, load)?,
        cache: 2 * cache.bytes() * checkpoint.config().layers as u64,
        activations: 0,
    })
}

/// One layer's cache; its buffers are named but not made.
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] where the device binds too
/// little for even four positions.
pub(super) fn layer_cache(gpu: &Gpu, config: &Config, options: &SessionOptions) -> Result<Cache> {
    let limit = gpu.caps().max_binding.min(gpu.caps().max_buffer);
    let shape = [options.sequences, context(config, options.context)?];
    let heads = [config.kv_heads, config.head_width];
    let cache = Cache::named(options.cache, shape, heads, limit);
    if cache.parts.iter().all(|part| cache.part_bytes(part) <= limit) {
        return Ok(cache);
    }
    Err(Error::Memory(format!(
        "the keys of a position take {} bytes a layer for {} sequences, and {} binds {limit}; try fewer sequences or --cache-type f16",
        cache.position_bytes(),
        options.sequences,
        gpu.adapter().name
    )))
}
