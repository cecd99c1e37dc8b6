//! A model in use: its caches, its rows, and the plans that run over them.

use std::collections::HashMap;

use crate::config::Mlp;
use crate::error::{Error, Result};
use crate::gpu::{BufferId, Engine, Plan, Tensor};
use crate::names::Hook;
use crate::ops::{Cache, CacheFormat, Choices, LogProb};

use super::{Fit, Model, Tape, forward, logits};

/// One token of one sequence: the unit of work.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Row {
    /// Token id.
    pub token: u32,
    /// Position in its sequence, from 0.
    pub position: u32,
    /// Which sequence of the session.
    pub sequence: u32,
    /// Tokens generated so far in that sequence.
    pub step: u32,
}

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

/// A model, an engine, and the state of some sequences.
#[derive(Debug)]
pub struct Session {
    pub(crate) engine: Engine,
    pub(crate) model: Model,
    pub(crate) choices: Choices,
    pub(crate) caches: Vec<Cache>,
    pub(crate) context: usize,
    pub(crate) sequences: usize,
    chunk: usize,
    rows: BufferId,
    targets: BufferId,
    log_probs: BufferId,
    plans: HashMap<(Task, usize), Plan>,
}

/// What a plan is for, beside its number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Fill,
    Score,
}

/// The context if nobody asks for another: the model's own, up to this.
const DEFAULT_CONTEXT: usize = 4096;

/// The most rows that run at once.
const MOST_ROWS: usize = 128;

/// Operations in one submit: well under the 2 s after which watchdogs kill it on a slow GPU.
const OPERATIONS: f64 = 4e11;

/// The most bytes of logits that exist at once.
const LOGIT_BYTES: usize = 64 << 20;

impl Session {
    /// Allocates caches and rows for a loaded model.
    ///
    /// # Errors
    /// [`Error::Input`] for a context beyond the model's, [`Error::Memory`] where a cache is over the
    /// adapter's limits; that one names the largest context that fits.
    pub fn new(
        mut engine: Engine,
        model: Model,
        choices: Choices,
        options: SessionOptions,
    ) -> Result<Self> {
        let config = &model.config;
        let context = options.context.unwrap_or(config.context.min(DEFAULT_CONTEXT));
        if context == 0 || context > config.context {
            return Err(Error::Input(format!(
                "--context must be from 1 to the model's own {}, got {context}",
                config.context
            )));
        }
        let caches: Vec<Cache> = (0..config.layers)
            .map(|_| Cache {
                k: BufferId::fresh(),
                v: BufferId::fresh(),
                format: options.cache,
                sequences: options.sequences,
                context,
                heads: config.kv_heads,
                width: config.head_width,
            })
            .collect();
        check_cache(&engine, &caches[0])?;
        for cache in &caches {
            engine.create(cache.k, cache.bytes())?;
            engine.create(cache.v, cache.bytes())?;
        }
        let chunk = options.chunk.unwrap_or_else(|| chunk_rows(&model)).max(1);
        let (rows, targets, log_probs) = (BufferId::fresh(), BufferId::fresh(), BufferId::fresh());
        engine.create(rows, (chunk * size_of::<Row>()) as u64)?;
        engine.create(targets, chunk as u64 * 4)?;
        engine.create(log_probs, chunk as u64 * 4)?;
        Ok(Self {
            engine,
            model,
            choices,
            caches,
            context,
            sequences: options.sequences,
            chunk,
            rows,
            targets,
            log_probs,
            plans: HashMap::new(),
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

    /// The bytes that model and state take on the device.
    pub fn fit(&self) -> Fit {
        Fit {
            weights: self.model.bytes(),
            cache: self.caches.iter().map(|cache| 2 * cache.bytes()).sum(),
            activations: self.engine.passing_bytes(),
        }
    }

    /// Reads rows into the caches, in chunks; nothing comes back.
    ///
    /// # Errors
    /// [`Error::Input`] for ids outside the vocabulary, [`Error::Context`] for positions outside the
    /// context, [`Error::Device`] if the device fails.
    pub fn fill(&mut self, rows: &[Row]) -> Result<()> {
        self.check(rows)?;
        for rows in rows.chunks(self.chunk) {
            self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
            let extent = extent(rows);
            self.prepare(Task::Fill, rows.len())?;
            let plan = &self.plans[&(Task::Fill, rows.len())];
            self.engine.submit(&[(plan, extent)], &[])?;
        }
        Ok(())
    }

    /// Reads rows into the caches; gives ln P(target | everything before and in the row) for each.
    ///
    /// # Errors
    /// As [`Session::fill`].
    pub async fn score(&mut self, rows: &[Row], targets: &[u32]) -> Result<Vec<f32>> {
        self.check(rows)?;
        if targets.len() != rows.len() {
            return Err(Error::Input(format!("{} rows, {} targets", rows.len(), targets.len())));
        }
        let mut scores = Vec::with_capacity(rows.len());
        for (rows, targets) in rows.chunks(self.chunk).zip(targets.chunks(self.chunk)) {
            self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
            self.engine.write(self.targets, 0, bytemuck::cast_slice(targets))?;
            let extent = extent(rows);
            self.prepare(Task::Score, rows.len())?;
            let plan = &self.plans[&(Task::Score, rows.len())];
            let reads = [(self.log_probs, 0, rows.len() as u64 * 4)];
            if let Some(readback) = self.engine.submit(&[(plan, extent)], &reads)? {
                let bytes = self.engine.finish(readback).await?;
                scores.extend(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes));
            }
        }
        Ok(scores)
    }

    /// Runs rows and gives the named values, each as (rows, columns) with its shape's tail flattened.
    ///
    /// # Errors
    /// As [`Session::fill`]; at most one chunk of rows.
    pub async fn values(
        &mut self,
        rows: &[Row],
        hooks: &[Hook],
    ) -> Result<Vec<(Hook, Tensor, Vec<f32>)>> {
        self.check(rows)?;
        if rows.len() > self.chunk {
            return Err(Error::Context { asked: rows.len(), limit: self.chunk });
        }
        self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
        let mut tape = Tape::with_hooks(&self.choices, hooks);
        forward(&mut tape, &self.model, &self.caches, self.rows, rows.len())?;
        let (recording, reads) = tape.finish();
        for (_, tensor) in &reads {
            self.engine.create_tensor(tensor)?;
        }
        let plan = self.engine.prepare(&recording)?;
        self.engine.submit(&[(&plan, extent(rows))], &[])?;
        let mut values = Vec::with_capacity(reads.len());
        for (hook, tensor) in reads {
            let read = self.engine.read(&tensor).await?;
            self.engine.free(tensor.buffer);
            values.push((hook, tensor, read));
        }
        Ok(values)
    }

    fn check(&self, rows: &[Row]) -> Result<()> {
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
                    "sequence {} of a session with {}",
                    row.sequence, self.sequences
                )));
            }
        }
        Ok(())
    }

    /// Fails for a token id outside the vocabulary.
    pub(crate) fn check_token(&self, token: u32) -> Result<()> {
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
        let mut tape = Tape::new(&self.choices);
        let x = forward(&mut tape, &self.model, &self.caches, self.rows, count)?;
        if task == Task::Score {
            let out = tape.tensor(count, self.model.config.vocab);
            logits(&mut tape, &self.model, x, None, out)?;
            tape.push(LogProb { logits: out, targets: self.targets, out: self.log_probs })?;
        }
        let (recording, _) = tape.finish();
        let plan = self.engine.prepare(&recording)?;
        // Whole chunks come again and again; of the odd remainders only the last is kept.
        self.plans.retain(|(_, rows), _| *rows == self.chunk);
        self.plans.insert((task, count), plan);
        Ok(())
    }
}

/// The keys that the furthest row sees.
fn extent(rows: &[Row]) -> u32 {
    rows.iter().map(|row| row.position + 1).max().unwrap_or(1)
}

/// How many rows a chunk has: as many as stay within the budgets of operations and of logits.
fn chunk_rows(model: &Model) -> usize {
    let config = &model.config;
    let hidden = config.mlp.hidden() * if matches!(config.mlp, Mlp::SwiGlu { .. }) { 3 } else { 2 };
    let layer = config.width * (2 * config.q_width() + 2 * config.kv_width() + hidden);
    let operations = 2.0 * (config.layers * layer + config.width * config.vocab) as f64;
    let rows = (OPERATIONS / operations) as usize;
    rows.min(LOGIT_BYTES / (4 * config.vocab)).clamp(1, MOST_ROWS)
}

fn check_cache(engine: &Engine, cache: &Cache) -> Result<()> {
    let caps = engine.gpu().caps();
    let limit = caps.max_binding.min(caps.max_buffer);
    if cache.bytes() <= limit {
        return Ok(());
    }
    let fits = cache.context as u64 * limit / cache.bytes();
    Err(Error::Memory(format!(
        "a context of {} needs {} bytes of keys a layer, and {} binds {limit}; the largest that fits is --context {fits}",
        cache.context,
        cache.bytes(),
        engine.gpu().adapter().name
    )))
}
