//! What a session runs: the self-test checks it, and the tuner measures it.

use crate::config::Config;
use crate::error::Result;
use crate::gpu::{BufferId, Program};
use crate::ops::{Cache, LogProb, Penalties, Sample, TopK};
use crate::sampling::Sampling;
use crate::select::{KernelSelection, Shape, Workload};

use super::forward::{forward, logits};
use super::memory::{SessionOptions, chunk_rows};
use super::rows::Rows;
use super::tape::Tape;
use super::weights::Model;

/// What a session runs most: the linear layers of a decoding step and of a whole prefill chunk.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for a context beyond the model's.
pub fn workload(
    model: &Model,
    selection: &KernelSelection,
    options: &SessionOptions,
) -> Result<Workload> {
    let chunk = chunk_rows(&model.config, options, selection)?;
    let mut shapes: Vec<Shape> = Vec::new();
    let maps = || model.maps().map(|map| &map.weight);
    let of_step = maps().chain([model.head()]).map(|weight| weight.shape(options.sequences));
    for shape in of_step.chain(maps().map(|weight| weight.shape(chunk))) {
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    let Config { width, heads, kv_heads, head_width, .. } = model.config;
    Ok(Workload { shapes, width, heads: [heads, kv_heads, head_width], rows: chunk })
}

/// The programs that a session runs to read, to score and to generate, as far as variants depend on
/// it. `cache` is one layer's, as [`layer_cache`](super::layer_cache) cuts it.
///
/// # Errors
/// [`Error::Input`](crate::Error::Input) for a context beyond the model's,
/// [`Error::Shape`](crate::Error::Shape) if the model's tensors do not fit together.
pub fn programs(
    model: &Model,
    selection: &KernelSelection,
    cache: &Cache,
    options: &SessionOptions,
) -> Result<Vec<Program>> {
    let config = &model.config;
    let caches = vec![cache.clone(); config.layers];
    let chunk = chunk_rows(config, options, selection)?;
    let mut programs = Vec::new();
    // The variant of a product depends on its rows, rounded up to a power of two.
    let mut counts: Vec<usize> = (0..).map(|i| 1 << i).take_while(|rows| *rows < chunk).collect();
    counts.push(chunk);
    for count in counts {
        let [rows, targets, out, ids] = [(); 4].map(|()| BufferId::fresh());
        let mut tape = Tape::new(selection);
        let x = forward(&mut tape, model, &caches, Rows { buffer: rows, count })?;
        let raw = tape.tensor(count, config.vocab);
        logits(&mut tape, model, x, None, raw)?;
        tape.push(LogProb { logits: raw, targets, out })?;
        tape.push(TopK { logits: raw, k: 1, chosen: None, out: ids })?;
        let (counts, sampling) = (targets, Sampling::default());
        let less = tape.tensor(count, config.vocab);
        tape.push(Penalties { logits: raw, counts, sampling, out: less })?;
        tape.push(Sample { logits: less, rows, counts: None, sampling, ids, ring: 1 })?;
        let recording = tape.finish().0;
        programs.extend(recording.dispatches().iter().map(|dispatch| dispatch.program.clone()));
    }
    Ok(programs)
}
