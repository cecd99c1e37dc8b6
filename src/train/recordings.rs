//! What a step runs, and the buffers between it and the host.

use crate::error::{Error, Remedy, Result};
use crate::format::Format;
use crate::gpu::{BufferId, Engine, Gpu, Program, Recording, shared_slots};
use crate::model::{Model, Rows, SessionOptions, Tape, create_cache, forward, layer_cache, layers};
use crate::ops::backward::runs_of;
use crate::ops::{Cache, CacheFormat};
use crate::select::KernelSelection;

use super::backward::backward;
use super::blocks::{self, Pass};
use super::fit::TrainMemory;
use super::loss::{self, Chunk, Targets};
use super::micro_batch::{Dropping, MicroBatch, Runs};
use super::options::{Optimizer, TrainOptions, check};
use super::parameters::Parameters;

/// The buffers by which a step's inputs reach the device and its results come back.
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
    fn named() -> Self {
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

    /// Allocates them, for `rows` rows whose positions are known.
    fn create(&self, engine: &mut Engine, rows: usize, partials: usize) -> Result<()> {
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

/// One cache per layer, for all sequences of a batch; named, not allocated.
fn caches(gpu: &Gpu, model: &Model, options: &TrainOptions) -> Result<Vec<Cache>> {
    let session = SessionOptions {
        context: Some(options.context),
        sequences: options.batch,
        cache: CacheFormat::F32,
        ..SessionOptions::default()
    };
    let over = || {
        let reason = format!(
            "the keys of {} sequences of {} tokens are larger than what {} can bind",
            options.batch,
            options.context,
            gpu.adapter().name
        );
        Error::memory(reason, [Remedy::SmallerBatch])
    };
    let cache = || match layer_cache(gpu, &model.config, &session) {
        Ok(cache) if cache.shards.len() == 1 => Ok(cache),
        Ok(_) | Err(Error::Memory { .. }) => Err(over()),
        Err(other) => Err(other),
    };
    model.blocks.iter().map(|_| cache()).collect()
}

/// The chunks of rows whose logits exist at the same time; named, not allocated.
fn chunks(gpu: &Gpu, model: &Model, count: usize) -> Vec<Chunk> {
    let all = loss::chunks(count, model.config.vocab, gpu.caps().max_buffer_bytes());
    let several = all.len() > 1;
    let chunk = |(first, rows)| Chunk { first, rows, index: several.then(BufferId::fresh) };
    all.into_iter().map(chunk).collect()
}

/// What a trainer runs.
pub(super) struct Recordings {
    /// The forward pass, the loss and the backward pass.
    pub(super) learn: Recording,
    /// The forward pass and the loss.
    pub(super) evaluate: Recording,
    /// The optimiser.
    pub(super) update: Recording,
    /// The cast to f16, which also ends the optimiser step.
    pub(super) cast: Recording,
}

/// The buffers around a model in training: named first, allocated later.
#[derive(Debug)]
pub(super) struct TrainBuffers {
    pub(super) parameters: Parameters,
    pub(super) buffers: Buffers,
    caches: Vec<Cache>,
    chunks: Vec<Chunk>,
}

impl TrainBuffers {
    pub(super) fn named(gpu: &Gpu, model: &Model, options: &TrainOptions) -> Result<Self> {
        check(options, &model.config)?;
        blocks::check(&model.config)?;
        let running = if options.mixed { Format::F16 } else { Format::F32 };
        Ok(Self {
            parameters: Parameters::of(model, running)?,
            buffers: Buffers::named(),
            caches: caches(gpu, model, options)?,
            chunks: chunks(gpu, model, options.batch * options.context),
        })
    }

    /// Allocates all of them, and writes those that never change.
    pub(super) fn create(&self, engine: &mut Engine, options: &TrainOptions) -> Result<()> {
        let Self { parameters, buffers, caches, chunks } = self;
        let &TrainOptions { batch, context, optimizer, .. } = options;
        parameters.create(engine, optimizer)?;
        buffers.create(engine, batch * context, parameters.partials())?;
        let positions: Vec<u32> = (0..batch).flat_map(|_| 0..context as u32).collect();
        Buffers::order(engine, buffers.positions, &positions)?;
        caches.iter().try_for_each(|cache| create_cache(engine, cache))?;
        for &Chunk { first, rows, index } in chunks {
            let Some(id) = index else { continue };
            let numbers: Vec<u32> = (first as u32..(first + rows) as u32).collect();
            engine.create(id, rows as u64 * 4)?;
            engine.write(id, 0, bytemuck::cast_slice(&numbers))?;
        }
        Ok(())
    }

    /// Records all that a trainer runs; nothing needs to be allocated yet.
    pub(super) fn record(
        &self,
        selection: &KernelSelection,
        options: &TrainOptions,
    ) -> Result<Recordings> {
        let Self { parameters, buffers, caches, chunks } = self;
        let model = &parameters.model;
        let TrainOptions { batch, context, optimizer, .. } = *options;
        let dropping = Dropping { probability: options.dropout, draw: buffers.draw };
        let rows = Rows { buffer: buffers.rows, count: batch * context };
        let micro_batch = MicroBatch {
            model,
            gradients: &parameters.gradients,
            caches,
            rows,
            tokens: buffers.tokens,
            positions: buffers.positions,
            length: context,
            dropout: (options.dropout > 0.0).then_some(dropping),
            chunks,
            targets: buffers.targets,
        };
        let learn = learn(selection, &micro_batch)?;
        let mut tape = Tape::new(selection);
        let x = forward(&mut tape, model, caches, rows)?;
        for chunk in chunks {
            loss::loss(&mut tape, model, x, chunk, buffers.targets)?;
        }
        let evaluate = tape.finish().0;
        let mut tape = Tape::new(selection);
        let Buffers { partials, settings, clip, .. } = *buffers;
        parameters.update(&mut tape, optimizer, partials, settings, clip)?;
        let update = tape.finish().0;
        let mut tape = Tape::new(selection);
        parameters.cast_weights_to_f16(&mut tape)?;
        Ok(Recordings { learn, evaluate, update, cast: tape.finish().0 })
    }

    /// The memory that all of it takes.
    pub(super) fn fit(&self, recordings: &Recordings, optimizer: Optimizer) -> TrainMemory {
        let Recordings { learn, evaluate, update, .. } = recordings;
        let slots = shared_slots(&[learn, evaluate, update]);
        TrainMemory {
            parameters: self.parameters.bytes(optimizer),
            cache: self.caches.iter().map(|cache| 2 * cache.bytes()).sum(),
            activations: slots.iter().sum(),
            largest_buffer: slots.iter().copied().max().unwrap_or(0),
        }
    }
}

/// What a [`Trainer`](super::Trainer) would run on a device: for the self-test, before one is made.
#[derive(Debug)]
pub struct DryRun {
    options: TrainOptions,
    buffers: TrainBuffers,
}

impl DryRun {
    /// For a model that may be only [named](Model::named).
    ///
    /// # Errors
    /// As [`Trainer::new`](super::Trainer::new).
    pub fn new(gpu: &Gpu, model: &Model, options: TrainOptions) -> Result<Self> {
        Ok(Self { options, buffers: TrainBuffers::named(gpu, model, &options)? })
    }

    /// Its programs under a selection of variants.
    ///
    /// # Errors
    /// [`Error::Shape`] if the model's tensors do not fit together.
    pub fn programs(&self, selection: &KernelSelection) -> Result<Vec<Program>> {
        let Recordings { learn, evaluate, update, .. } =
            self.buffers.record(selection, &self.options)?;
        let all = [learn, evaluate, update];
        let dispatches = all.iter().flat_map(Recording::dispatches);
        Ok(dispatches.map(|dispatch| dispatch.program.clone()).collect())
    }

    /// How many values would be learned.
    pub fn parameter_count(&self) -> usize {
        self.buffers.parameters.count()
    }

    /// The memory that it would take, checked against the device's limits, and against the free memory
    /// if that is known, before anything is allocated.
    ///
    /// # Errors
    /// [`Error::Memory`], with remedies that need less.
    pub fn fit(&self, gpu: &Gpu, selection: &KernelSelection) -> Result<TrainMemory> {
        let recordings = self.buffers.record(selection, &self.options)?;
        let fit = self.buffers.fit(&recordings, self.options.optimizer);
        fit.check(gpu, &self.options)?;
        Ok(fit)
    }
}

/// Forwards, the loss, and backwards.
fn learn(selection: &KernelSelection, micro_batch: &MicroBatch<'_>) -> Result<Recording> {
    let MicroBatch { model, caches, rows, .. } = *micro_batch;
    let mut tape = Tape::new(selection);
    let mut pass = Pass { tape: &mut tape, batch: micro_batch };
    pass.ask();
    let x = layers(pass.tape, model, caches, rows)?;
    backward(&mut pass, x)?;
    Ok(tape.finish().0)
}
