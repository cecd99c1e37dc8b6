//! The state of a session: its caches, its rows, and the plans that run over them.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Engine, Readback, Tensor};
use crate::hook::Hook;
use crate::model::bound::Bound;
use crate::model::forward::{forward, logits};
use crate::model::memory::{
    MemoryUse, SessionOptions, chunk_rows, context, create_cache, layer_cache, pieces,
};
use crate::model::rows::Rows;
use crate::model::tape::Tape;
use crate::model::weights::Model;
use crate::ops::{Cache, LogProb, TopK};
use crate::select::KernelSelection;

use super::rows::{Row, extend};
use super::staged::Staged;

/// A model, an engine, and the state of some sequences.
#[derive(Debug)]
pub struct Session {
    pub(super) engine: Engine,
    pub(super) model: Model,
    pub(super) selection: KernelSelection,
    pub(super) caches: Vec<Cache>,
    context: usize,
    sequences: usize,
    /// How many first positions of each sequence hold keys and values of its text.
    held: Vec<u32>,
    pub(super) chunk: usize,
    pub(super) rows: BufferId,
    pub(super) targets: BufferId,
    pub(super) log_probs: BufferId,
    filled: u64,
    plans: HashMap<(Task, usize), Planned>,
    /// What changes named values in every run.
    pub(super) edits: Vec<Bound>,
    /// The values that runs of [`Task::Fill`] read.
    pub(super) kept: Vec<Hook>,
}

/// The result of [`Session::score`].
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// ln P of each row's target.
    pub logprobs: Vec<f32>,
    /// For each row the most probable next tokens, (id, ln p), best first; empty if not asked for.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// A plan, the buffer that holds its most probable tokens, and the values it reads.
#[derive(Debug)]
struct Planned {
    staged: Staged,
    top: Option<BufferId>,
    reads: Vec<(Hook, Tensor)>,
}

/// A piece of prefill in flight.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) readback: Readback,
    /// The values that follow the marker in the readback, if the session keeps any.
    pub(super) kept: Vec<(Hook, Tensor)>,
    /// The rows that they are of.
    pub(super) rows: Vec<Row>,
}

/// What a plan is for, apart from its number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Fill,
    Score { top: Option<usize> },
}

impl Session {
    /// Allocates caches and rows for a loaded model.
    ///
    /// # Errors
    /// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] if the device has no
    /// room for the caches.
    pub fn new(
        mut engine: Engine,
        model: Model,
        selection: KernelSelection,
        options: SessionOptions,
    ) -> Result<Self> {
        let config = &model.config;
        let context = context(config, options.context)?;
        let caches = (0..config.layers).map(|_| layer_cache(engine.gpu(), config, &options));
        let caches = caches.collect::<Result<Vec<Cache>>>()?;
        model.build_rope_tables(&mut engine, context)?;
        for cache in &caches {
            create_cache(&mut engine, cache)?;
        }
        let chunk = chunk_rows(config, &options, &selection)?;
        let (rows, targets, log_probs) = (BufferId::fresh(), BufferId::fresh(), BufferId::fresh());
        engine.create(rows, (chunk * size_of::<Row>()) as u64)?;
        engine.create(targets, chunk as u64 * 4)?;
        engine.create(log_probs, chunk as u64 * 4)?;
        Ok(Self {
            engine,
            model,
            selection,
            caches,
            context,
            sequences: options.sequences,
            held: vec![0; options.sequences],
            chunk,
            rows,
            targets,
            log_probs,
            filled: 0,
            plans: HashMap::new(),
            edits: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// Positions that each sequence has.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The engine, for its device and counters.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Runs a plan of this session over these rows, then copies the named ranges for the host.
    ///
    /// # Errors
    /// As [`Staged::run`].
    pub(crate) async fn run(
        &mut self,
        staged: &Staged,
        rows: &[Row],
        reads: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        staged.run(&mut self.engine, &self.model.config, rows, reads).await
    }

    pub(crate) fn caches(&self) -> &[Cache] {
        &self.caches
    }

    /// The variants that were chosen for the device.
    pub fn selection(&self) -> &KernelSelection {
        &self.selection
    }

    /// How many rows [`Session::fill`] and prefill have read so far.
    pub fn filled(&self) -> u64 {
        self.filled
    }

    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.sequences
    }

    /// The bytes that the model and its state take on the device.
    pub fn fit(&self) -> MemoryUse {
        MemoryUse {
            weights: self.model.bytes(),
            cache: self.caches.iter().map(|cache| 2 * cache.bytes()).sum(),
            activations: self.engine.transient_bytes(),
        }
    }

    /// Reads rows into the caches, in chunks; returns nothing, and waits only for functions that change
    /// a value ([`Change::Call`](crate::model::Change::Call)).
    ///
    /// # Errors
    /// [`Error::Input`] for ids outside the vocabulary and for rows that leave a gap in a sequence,
    /// [`Error::Context`] for positions outside the context, [`Error::Device`] if the device fails.
    pub async fn fill(&mut self, rows: &[Row]) -> Result<()> {
        self.check(rows)?;
        for rows in rows.chunks(self.chunk) {
            for piece in 0..self.fill_pieces(rows.len())? {
                self.fill_piece(rows, piece, None).await?;
            }
        }
        Ok(())
    }

    /// The number of pieces in which this many rows, at most a chunk, are read.
    pub(super) fn fill_pieces(&mut self, rows: usize) -> Result<usize> {
        self.prepare(Task::Fill, rows)?;
        Ok(self.plans[&(Task::Fill, rows)].staged.len())
    }

    /// Runs one piece of the plan that reads a chunk of rows into the caches, which must be
    /// prepared. With a `marker` to read back it can be waited for, and the last piece also gives
    /// the values that the session keeps.
    pub(super) async fn fill_piece(
        &mut self,
        rows: &[Row],
        piece: usize,
        marker: Option<(BufferId, u64, u64)>,
    ) -> Result<Option<Filled>> {
        if piece == 0 {
            self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
            self.filled += rows.len() as u64;
            self.note(rows);
        }
        let planned = &self.plans[&(Task::Fill, rows.len())];
        let mut kept = Vec::new();
        if marker.is_some() && piece + 1 == planned.staged.len() {
            kept.clone_from(&planned.reads);
        }
        let ranges = kept.iter().map(|(_, tensor)| tensor.range());
        let ranges: Vec<_> = marker.into_iter().chain(ranges).collect();
        let (engine, config) = (&mut self.engine, &self.model.config);
        let readback = planned.staged.run_stage(piece, engine, config, rows, &ranges).await?;
        let rows = if kept.is_empty() { Vec::new() } else { rows.to_vec() };
        Ok(readback.map(|readback| Filled { readback, kept, rows }))
    }

    /// Reads rows into the caches; returns ln P(target | all tokens up to and including the row's)
    /// for each row and, if asked for, the `top` most probable next tokens.
    ///
    /// # Errors
    /// As [`Session::fill`].
    pub async fn score(
        &mut self,
        rows: &[Row],
        targets: &[u32],
        top: Option<usize>,
    ) -> Result<Scored> {
        self.check(rows)?;
        if targets.len() != rows.len() {
            return Err(Error::Input(format!("{} rows, {} targets", rows.len(), targets.len())));
        }
        let mut scored = Scored::default();
        let task = Task::Score { top };
        for (rows, targets) in rows.chunks(self.chunk).zip(targets.chunks(self.chunk)) {
            let count = rows.len() as u64;
            self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
            self.engine.write(self.targets, 0, bytemuck::cast_slice(targets))?;
            self.note(rows);
            self.prepare(task, rows.len())?;
            let planned = &self.plans[&(task, rows.len())];
            let mut reads = vec![(self.log_probs, 0, count * 4)];
            reads.extend(planned.top.map(|buffer| (buffer, 0, count * pairs_bytes(top))));
            let (engine, config) = (&mut self.engine, &self.model.config);
            let readback = planned.staged.run(engine, config, rows, &reads).await?;
            let Some(readback) = readback else { continue };
            let bytes = self.engine.finish(readback).await?;
            let (logprobs, pairs) = bytes.split_at(rows.len() * 4);
            scored.logprobs.extend(bytemuck::pod_collect_to_vec::<u8, f32>(logprobs));
            let pairs: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(pairs);
            let pair = |&[id, bits]: &[u32; 2]| (id, f32::from_bits(bits));
            let rows = pairs.chunks(top.unwrap_or(0).max(1));
            scored.top.extend(rows.map(|row| row.iter().map(pair).collect::<Vec<_>>()));
        }
        Ok(scored)
    }

    /// Fails for tokens, positions or sequences that the session does not have, and for a row that
    /// would attend to positions that hold nothing.
    pub(crate) fn check(&self, rows: &[Row]) -> Result<()> {
        for row in rows {
            self.check_token(row.token)?;
            if row.position as usize >= self.context {
                return Err(Error::Context {
                    asked: row.position as usize + 1,
                    limit: self.context,
                });
            }
            if row.sequence as usize >= self.sequences {
                return Err(Error::Input(format!(
                    "sequence {} of a session with {}; SessionOptions::sequences sets how many",
                    row.sequence, self.sequences
                )));
            }
        }
        let mut held = self.held.clone();
        rows.chunks(self.chunk).try_for_each(|rows| extend(&mut held, rows))
    }

    /// Notes that these rows, which were checked, are now in the caches.
    pub(super) fn note(&mut self, rows: &[Row]) {
        // It cannot fail for rows that were checked.
        let _ = extend(&mut self.held, rows);
    }

    /// Notes that this sequence now begins with so many positions that were written otherwise.
    pub(super) fn note_written(&mut self, sequence: usize, positions: usize) {
        self.held[sequence] = positions as u32;
    }

    /// Notes one more position in each of the first sequences: that of a row made on the device.
    pub(crate) fn note_step(&mut self, sequences: usize) {
        let most = self.context as u32;
        self.held[..sequences].iter_mut().for_each(|held| *held = (*held + 1).min(most));
    }

    /// Fails for a token id outside the vocabulary.
    fn check_token(&self, token: u32) -> Result<()> {
        let vocab = self.model.config.vocab;
        if (token as usize) < vocab {
            return Ok(());
        }
        Err(Error::Input(format!("token {token} is outside the vocabulary of {vocab}")))
    }

    fn prepare(&mut self, task: Task, count: usize) -> Result<()> {
        if self.plans.contains_key(&(task, count)) {
            return Ok(());
        }
        let hooks = if task == Task::Fill { &self.kept[..] } else { &[] };
        let (selection, rows) = (&self.selection, self.rows);
        let mut tape = Tape::with_edits(selection, hooks, &self.edits, rows, usize::MAX);
        let rows = Rows { buffer: rows, count };
        let x = forward(&mut tape, &self.model, &self.caches, rows)?;
        let mut best = None;
        if let Task::Score { top } = task {
            let out = tape.tensor(count, self.model.config.vocab);
            logits(&mut tape, &self.model, x, None, out)?;
            tape.push(LogProb { logits: out, targets: self.targets, out: self.log_probs })?;
            if let Some(k) = top.filter(|k| *k > 0) {
                let buffer = BufferId::fresh();
                self.engine.create(buffer, count as u64 * pairs_bytes(top))?;
                tape.push(TopK { logits: out, k, chosen: None, out: buffer })?;
                best = Some(buffer);
            }
        }
        let (recording, marks) = tape.finish();
        for (_, tensor) in &marks.reads {
            self.engine.create_tensor(tensor)?;
        }
        let pieces = pieces(&self.model.config, &self.selection, count);
        let staged = Staged::prepare(&mut self.engine, &recording, &marks, pieces)?;
        // Whole chunks recur; of the odd remainders only the last plan is kept.
        let chunk = self.chunk;
        self.forget_plans_unless(|rows| rows == chunk);
        self.plans.insert((task, count), Planned { staged, top: best, reads: marks.reads });
        Ok(())
    }

    /// Drops all plans, since what they do has changed.
    pub(super) fn forget_plans(&mut self) {
        self.forget_plans_unless(|_| false);
    }

    fn forget_plans_unless(&mut self, keep: impl Fn(usize) -> bool) {
        let engine = &mut self.engine;
        self.plans.retain(|(_, rows), planned| {
            let keep = keep(*rows);
            if !keep {
                let reads = planned.reads.iter().map(|(_, tensor)| tensor.buffer);
                planned.top.into_iter().chain(reads).for_each(|buffer| engine.free(buffer));
                planned.staged.free(engine);
            }
            keep
        });
    }
}

/// The bytes of a row's most probable tokens.
fn pairs_bytes(top: Option<usize>) -> u64 {
    top.unwrap_or(0) as u64 * 8
}
