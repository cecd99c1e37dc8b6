//! What a step runs, and the buffers between it and the host.

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Engine, Recording};
use crate::model::{Model, SessionOptions, Tape, create_cache, layer_cache, layers, norm};
use crate::names::Hook;
use crate::ops::{Cache, CacheFormat, Choices, runs_of};

use super::TrainOptions;
use super::backward::{Pass, Runs, norm_backward};
use super::loss::{self, Chunk, Targets};

/// What goes to the device and comes back in a step.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) rows: BufferId,
    pub(super) tokens: Runs,
    pub(super) positions: Runs,
    pub(super) targets: Targets,
    pub(super) draw: BufferId,
    pub(super) settings: BufferId,
    pub(super) clip: BufferId,
    pub(super) partials: BufferId,
}

impl Buffers {
    pub(super) fn named() -> Self {
        let runs = || Runs { runs: BufferId::fresh(), order: BufferId::fresh() };
        let fresh = BufferId::fresh;
        Self {
            rows: fresh(),
            tokens: runs(),
            positions: runs(),
            targets: Targets { targets: fresh(), losses: fresh(), share: fresh() },
            draw: fresh(),
            settings: fresh(),
            clip: fresh(),
            partials: fresh(),
        }
    }

    /// Makes them, for `rows` rows whose positions are known.
    pub(super) fn create(&self, engine: &mut Engine, rows: usize, partials: usize) -> Result<()> {
        let rows = rows as u64;
        for id in [self.rows, self.tokens.runs, self.positions.runs] {
            engine.create(id, rows * 16)?;
        }
        let Targets { targets, losses, share } = self.targets;
        for id in [self.tokens.order, self.positions.order, targets, losses] {
            engine.create(id, rows * 4)?;
        }
        for id in [share, self.draw, self.settings, self.clip] {
            engine.create(id, 32)?;
        }
        engine.create(self.partials, partials as u64 * 4)
    }

    pub(super) fn order(engine: &Engine, to: Runs, ids: &[u32]) -> Result<()> {
        let (runs, order) = runs_of(ids);
        engine.write(to.runs, 0, bytemuck::cast_slice(&runs))?;
        engine.write(to.order, 0, bytemuck::cast_slice(&order))
    }
}

/// One cache a layer, for all sequences of a batch.
pub(super) fn caches(
    engine: &mut Engine,
    model: &Model,
    options: &TrainOptions,
) -> Result<Vec<Cache>> {
    let session = SessionOptions {
        context: Some(options.context),
        sequences: options.batch,
        cache: CacheFormat::F32,
        chunk: None,
    };
    let mut caches = Vec::new();
    for _ in &model.blocks {
        let cache = layer_cache(engine.gpu(), &model.config, &session)?;
        if cache.parts.len() > 1 {
            return Err(Error::Memory(format!(
                "the keys of {} sequences of {} tokens are over what {} binds; try a smaller batch",
                options.batch,
                options.context,
                engine.gpu().adapter().name
            )));
        }
        create_cache(engine, &cache)?;
        caches.push(cache);
    }
    Ok(caches)
}

/// The chunks of rows whose logits exist together, with the numbers of their rows.
pub(super) fn chunks(engine: &mut Engine, model: &Model, count: usize) -> Result<Vec<Chunk>> {
    let limit = engine.gpu().caps().max_buffer_bytes();
    let all = loss::chunks(count, model.config.vocab, limit);
    let mut chunks = Vec::new();
    for &(first, rows) in &all {
        let mut index = None;
        if all.len() > 1 {
            let numbers: Vec<u32> = (first as u32..(first + rows) as u32).collect();
            let id = BufferId::fresh();
            engine.create(id, rows as u64 * 4)?;
            engine.write(id, 0, bytemuck::cast_slice(&numbers))?;
            index = Some(id);
        }
        chunks.push(Chunk { first, rows, index });
    }
    Ok(chunks)
}

/// Forwards, the loss, and backwards.
pub(super) fn record(
    choices: &Choices,
    pass: &Pass<'_>,
    chunks: &[Chunk],
    targets: Targets,
    count: usize,
) -> Result<Recording> {
    let (model, gradients) = (pass.model, pass.gradients);
    let mut tape = Tape::new(choices);
    pass.ask(&mut tape);
    let x = layers(&mut tape, model, pass.caches, pass.rows, count)?;
    let names = (Hook::LnFinalScale, Hook::LnFinalNormalized);
    let normed = norm(&mut tape, model, &model.final_norm, x, names)?;
    if let Some(dy) = loss::loss(&mut tape, model, Some(gradients), normed, chunks, targets)? {
        let norms = (&model.final_norm, &gradients.final_norm);
        let dx = norm_backward(&mut tape, model, norms, x, dy, None)?;
        pass.layers(&mut tape, dx)?;
    }
    Ok(tape.finish().0)
}
