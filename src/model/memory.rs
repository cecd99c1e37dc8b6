//! The memory that a session will take, and how its work is cut to the device: decided before
//! anything is allocated.

use crate::config::Config;
use crate::error::{Error, Remedy, Result};
use crate::format::Format;
use crate::gpu::{BufferId, Engine, Gpu, padded, shared_slots};
use crate::ops::{Cache, CacheFormat, Weight};
use crate::select::KernelSelection;

use super::forward::{forward, logits};
use super::params::Values;
use super::rows::Rows;
use super::tape::Tape;
use super::weights::Model;

/// The bytes that a model will take on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryUse {
    /// Weights.
    pub weights: u64,
    /// Keys and values.
    pub cache: u64,
    /// Activations: what lives within one run.
    pub activations: u64,
}

impl MemoryUse {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.cache + self.activations
    }
}

/// How much a session holds.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    /// Positions of each sequence; if `None`, the smaller of the model's context and 4,096.
    pub context: Option<usize>,
    /// How many sequences there are.
    pub sequences: usize,
    /// How keys and values are stored.
    pub cache: CacheFormat,
    /// Rows that run at once during prefill; if `None`, chosen for memory and speed.
    pub chunk: Option<usize>,
    /// The format in which [`Session::open`](super::Session::open) stores the weights; the file's
    /// own if `None` (see [`LoadOptions`](super::LoadOptions)).
    pub quantize: Option<Format>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { context: None, sequences: 1, cache: CacheFormat::F32, chunk: None, quantize: None }
    }
}

/// The default context: the model's own, up to this.
const DEFAULT_CONTEXT: usize = 4096;

/// The most bytes of logits that exist at once.
const LOGIT_BYTES: u64 = 128 << 20;

/// The positions of a sequence: as asked for, else the smaller of the model's own and 4,096.
///
/// # Errors
/// [`Error::Input`] for none at all or more than the model's own.
pub fn context(config: &Config, asked: Option<usize>) -> Result<usize> {
    let context = asked.unwrap_or(config.context.min(DEFAULT_CONTEXT));
    if context == 0 || context > config.context {
        return Err(Error::Input(format!(
            "the context must be from 1 to the model's own {}, got {context}",
            config.context
        )));
    }
    Ok(context)
}

/// The rows of a chunk: as many as suit the device, but no more than there are positions, or than
/// the budget of logits allows.
pub(super) fn chunk_rows(
    config: &Config,
    options: &SessionOptions,
    selection: &KernelSelection,
) -> Result<usize> {
    let positions = context(config, options.context)? * options.sequences;
    if let Some(rows) = options.chunk {
        return Ok(rows.clamp(1, positions));
    }
    let bytes = LOGIT_BYTES.min(selection.limits.max_binding) as usize;
    Ok((bytes / (4 * padded(config.vocab))).min(positions).clamp(1, selection.limits.rows))
}

/// The number of submits in which `rows` rows run, so that each stays within the budget of
/// operations.
pub(crate) fn pieces(config: &Config, selection: &KernelSelection, rows: usize) -> usize {
    let hidden = config.mlp.hidden() * if config.mlp.gated() { 3 } else { 2 };
    let layer = config.width * (2 * config.q_width() + 2 * config.kv_width() + hidden);
    let row = 2.0 * (config.layers * layer + config.width * config.vocab) as f64;
    (rows as f64 * row / selection.limits.operations).ceil() as usize
}

/// What a model, its caches and its activations will take on a device, checked against the device's
/// limits, and against the memory that is free where that is known, before anything is allocated.
/// Activations are those of prefill and of decoding, as a dry recording of both shows; the model
/// may be only [named](Model::named).
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] for what does not fit, with
/// remedies that need less.
pub fn plan(gpu: &Gpu, model: &Model, options: &SessionOptions) -> Result<MemoryUse> {
    let cache = layer_cache(gpu, &model.config, options)?;
    let selection = KernelSelection::defaults(gpu.caps());
    let slots = activations(model, &selection, &cache, options)?;
    let limit = gpu.caps().max_buffer_bytes();
    if let Some(bytes) = slots.iter().find(|bytes| **bytes > limit) {
        let adapter = &gpu.adapter().name;
        let reason = format!(
            "reading a prompt needs a buffer of {bytes} bytes, and {adapter} binds {limit}"
        );
        return Err(Error::memory(reason, []));
    }
    let fit = MemoryUse {
        weights: model.bytes(),
        cache: 2 * cache.bytes() * model.config.layers as u64,
        activations: slots.iter().sum(),
    };
    // A software adapter keeps everything in main memory; other adapters do not report what is
    // free.
    if gpu.caps().software
        && let Some(free) = free_memory()
        && fit.total() > free
    {
        let context = context(&model.config, options.context)?;
        return Err(too_large(&fit, free, &gpu.adapter().name, smallest(model), context));
    }
    Ok(fit)
}

/// The bytes that programs may still take, including free swap; `None` if the system does not
/// report it as Linux does.
pub(crate) fn free_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((field("MemAvailable")? + field("SwapFree").unwrap_or(0)) << 10)
}

/// The bytes that a model's weights take as `Q4_0`, where their widths allow it.
fn smallest(model: &Model) -> u64 {
    let mut bytes = 0;
    model.clone().walk(&mut |leaf| {
        bytes += match leaf.values {
            Values::Matrix(weight) if weight.columns.is_multiple_of(Format::Q4_0.block()) => {
                let planes = Weight::plane_bytes(Format::Q4_0, weight.columns);
                (planes.iter().sum::<usize>() * weight.rows) as u64
            }
            Values::Matrix(weight) => weight.bytes(),
            Values::Vector(tensor) => tensor.bytes(),
        }
    });
    bytes
}

/// The error for a model over the free memory; `smallest` is what its weights take as `Q4_0`.
fn too_large(fit: &MemoryUse, free: u64, adapter: &str, smallest: u64, context: usize) -> Error {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let mut remedies = Vec::new();
    if smallest < fit.weights {
        remedies.push(Remedy::WeightsQ4 { bytes: smallest });
    }
    if fit.cache > fit.total() / 10 {
        remedies.push(Remedy::ShorterContext { fits: shorter_context(fit, free, context) });
        remedies.push(Remedy::CacheF16);
    }
    if remedies.is_empty() {
        remedies.push(Remedy::SmallerModel);
    }
    let reason = format!(
        "the model needs {} MiB of weights, {} of keys and values and about {} for a run, but {adapter} has {} MiB of memory free",
        mib(fit.weights),
        mib(fit.cache),
        mib(fit.activations),
        free >> 20
    );
    Error::memory(reason, remedies)
}

/// The longest context whose keys and values fit into the memory that weights and activations leave
/// free, in steps of 64; `None` if they leave none.
fn shorter_context(fit: &MemoryUse, free: u64, context: usize) -> Option<usize> {
    let left = free.checked_sub(fit.weights + fit.activations)?;
    let fits = u128::from(left) * context as u128 / u128::from(fit.cache);
    let fits = fits as usize / 64 * 64;
    (fits > 0).then_some(fits)
}

/// The bytes of the buffers that hold activations during prefill and decoding.
fn activations(
    model: &Model,
    selection: &KernelSelection,
    cache: &Cache,
    options: &SessionOptions,
) -> Result<Vec<u64>> {
    let config = &model.config;
    let (buffer, caches) = (BufferId::fresh(), vec![cache.clone(); config.layers]);
    let rows = |count| Rows { buffer, count };
    let mut reading = Tape::new(selection);
    forward(&mut reading, model, &caches, rows(chunk_rows(config, options, selection)?))?;
    let mut drawing = Tape::new(selection);
    let x = forward(&mut drawing, model, &caches, rows(options.sequences))?;
    let raw = drawing.tensor(options.sequences, config.vocab);
    logits(&mut drawing, model, x, None, raw)?;
    Ok(shared_slots(&[&reading.finish().0, &drawing.finish().0]))
}

/// Allocates a cache.
///
/// # Errors
/// [`Error::Memory`] if the adapter's limits forbid it.
pub(crate) fn create_cache(engine: &mut Engine, cache: &Cache) -> Result<()> {
    for part in &cache.shards {
        engine.create(part.k, cache.shard_bytes(part))?;
        engine.create(part.v, cache.shard_bytes(part))?;
    }
    Ok(())
}

/// One layer's cache; its buffers are named but not created.
///
/// # Errors
/// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] if the device binds too
/// little for even four positions.
pub fn layer_cache(gpu: &Gpu, config: &Config, options: &SessionOptions) -> Result<Cache> {
    let limit = gpu.caps().max_buffer_bytes();
    let shape = [options.sequences, context(config, options.context)?];
    let heads = [config.kv_heads, config.head_width];
    let cache = Cache::named(options.cache, shape, heads, limit);
    if cache.shards.iter().all(|part| cache.shard_bytes(part) <= limit) {
        return Ok(cache);
    }
    let reason = format!(
        "the keys of a position take {} bytes per layer for {} sequences, and {} binds {limit}",
        cache.position_bytes(),
        options.sequences,
        gpu.adapter().name
    );
    Err(Error::memory(reason, [Remedy::FewerSequences, Remedy::CacheF16]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::config::{Mlp, Nonlinearity};
    use crate::gpu::Caps;
    use crate::model::upload::LoadOptions;

    fn golden() -> Checkpoint {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/llama");
        Checkpoint::open(path.as_ref()).unwrap()
    }

    #[test]
    fn the_smallest_weights_are_those_of_a_model_loaded_so() {
        let checkpoint = Checkpoint::built_in().unwrap();
        let named = |quantize| {
            Model::named(&checkpoint, LoadOptions { quantize }, &Caps::default()).unwrap()
        };
        let (own, smaller) = (named(None), named(Some(Format::Q4_0)));
        assert!(smaller.bytes() < own.bytes());
        assert_eq!(smallest(&own), smaller.bytes());
    }

    #[test]
    fn what_does_not_fit_comes_with_what_would() {
        let fit = MemoryUse { weights: 600 << 20, cache: 100 << 20, activations: 1 << 20 };
        let error = too_large(&fit, 512 << 20, "llvmpipe", 150 << 20, 4096);
        assert_eq!(
            error.fault(),
            "the model needs 600 MiB of weights, 100 of keys and values and about 1 for a run, but \
             llvmpipe has 512 MiB of memory free"
        );
        let quantize = Remedy::WeightsQ4 { bytes: 150 << 20 };
        // The weights alone exceed what is free: no context would fit.
        let shorter = Remedy::ShorterContext { fits: None };
        assert_eq!(error.remedies(), [quantize, shorter, Remedy::CacheF16]);
        let error = too_large(&fit, 651 << 20, "llvmpipe", 600 << 20, 4096);
        let half = Remedy::ShorterContext { fits: Some(2048) };
        assert_eq!(error.remedies(), [half, Remedy::CacheF16]);
        let fit = MemoryUse { weights: 100 << 20, cache: 1 << 20, activations: 0 };
        let error = too_large(&fit, 64 << 20, "llvmpipe", 100 << 20, 4096);
        assert_eq!(error.remedies(), [Remedy::SmallerModel]);
    }

    /// Chunks are equally long for every model; the submits are cut.
    #[test]
    fn large_models_read_whole_chunks_in_several_submits() {
        let mut config = golden().config().clone();
        let gpu = Caps { max_binding: 1 << 30, ..Caps::default() };
        let of = |rows| pieces(&config, &KernelSelection::defaults(&gpu), rows);
        assert_eq!(of(512), 1);
        (config.layers, config.width, config.vocab, config.context) = (32, 4096, 128_256, 8192);
        (config.heads, config.kv_heads, config.head_width) = (32, 8, 128);
        config.mlp = Mlp::Gated { hidden: 14_336, function: Nonlinearity::Silu };
        // 15 GFLOP per row.
        let of = |caps: &Caps| {
            [1, 8, 128].map(|rows| pieces(&config, &KernelSelection::defaults(caps), rows))
        };
        assert_eq!(of(&gpu), [1, 2, 20]);
        assert_eq!(of(&Caps { software: true, ..gpu.clone() }), [16, 121, 1922]);
        let options = SessionOptions::default();
        let rows = |caps: &Caps, options: &SessionOptions| {
            chunk_rows(&config, options, &KernelSelection::defaults(caps)).unwrap()
        };
        assert_eq!(rows(&Caps { software: true, ..gpu.clone() }, &options), 128);
        assert_eq!(rows(&gpu, &options), 261);
        assert_eq!(rows(&gpu, &SessionOptions { context: Some(20), ..options }), 20);
        assert_eq!(rows(&gpu, &SessionOptions { chunk: Some(7), ..options }), 7);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_what_is_free() {
        assert!(free_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
