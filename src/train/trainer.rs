//! A model in training, a step at a time.

use std::collections::HashMap;

use crate::checkpoint::{Checkpoint, Param};
use crate::error::{Error, Result};
use crate::gpu::{Engine, Plan};
use crate::model::{Model, Row, pieces, rows};
use crate::ops::backward::OptimizerSettings;
use crate::select::KernelSelection;

use super::fit::TrainMemory;
use super::loss::Targets;
use super::options::{Optimizer, TrainOptions};
use super::parameters::{Parameter, Parameters, TrainSlot};
use super::recordings::{Buffers, Recordings, TrainBuffers};
use super::tokens::IGNORED;

/// Sequences to learn from, one after another: `batch · context` tokens, and the target of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Token ids.
    pub tokens: Vec<u32>,
    /// The ids of the tokens that follow them; [`IGNORED`] where there is none to learn.
    pub targets: Vec<u32>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// How many steps have been made, including this one.
    pub step: u64,
    /// The mean of −ln P over the targets, before the step.
    pub loss: f64,
    /// The norm of all gradients together, before clipping.
    pub gradient_norm: f64,
}

/// What to compute for a batch.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Its loss and gradients.
    Learn,
    /// Its loss alone.
    Evaluate,
}

/// A model in training.
#[derive(Debug)]
pub struct Trainer {
    engine: Engine,
    selection: KernelSelection,
    options: TrainOptions,
    parameters: Parameters,
    names: HashMap<(Param, usize), String>,
    buffers: Buffers,
    learn: Vec<Plan>,
    evaluate: Vec<Plan>,
    update: Plan,
    fit: TrainMemory,
    step: u64,
}

impl Trainer {
    /// Prepares a loaded model for training: gradients, moments, caches and plans. Its matrices must
    /// have been loaded as f32; `checkpoint` is its source, whose tensor names are used in errors.
    ///
    /// # Errors
    /// [`Error::Input`] for options out of range, [`Error::Unsupported`] for a kind of model without
    /// derivatives, [`Error::Memory`] if the device has no room.
    pub fn new(
        mut engine: Engine,
        model: Model,
        selection: &KernelSelection,
        options: TrainOptions,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let buffers = TrainBuffers::named(engine.gpu(), &model, &options)?;
        buffers.create(&mut engine, &options)?;
        model.build_rope_tables(&mut engine, options.context)?;
        let recordings = buffers.record(selection, &options)?;
        let fit = buffers.fit(&recordings, options.optimizer);
        let TrainBuffers { parameters, buffers, .. } = buffers;
        let Recordings { learn, evaluate, update, cast } = recordings;
        // The backward pass is twice the work of the forward pass.
        let forward = pieces(&model.config, selection, options.batch * options.context);
        let learn = engine.prepare(&learn)?.in_pieces(3 * forward);
        let evaluate = engine.prepare(&evaluate)?.in_pieces(forward);
        let update = engine.prepare(&update)?;
        if options.mixed {
            let cast = engine.prepare(&cast)?;
            engine.submit(&[(&cast, 0)], &[])?;
        }
        let names = names(&parameters, checkpoint)?;
        Ok(Self {
            engine,
            selection: selection.clone(),
            options,
            parameters,
            names,
            buffers,
            learn,
            evaluate,
            update,
            fit,
            step: 0,
        })
    }

    /// Learns from some batches as from one: accumulates their gradients, then updates every parameter
    /// at this learning rate.
    ///
    /// # Errors
    /// [`Error::Input`] for batches of another size or with tokens that the model does not have, and for
    /// a rate that is not finite; [`Error::Diverged`] if the loss or a gradient is not finite;
    /// [`Error::Device`] if the device fails. After the first two all is as it was before: the next step has
    /// the bits of a run in which this one was not made.
    pub async fn step(&mut self, batches: &[Batch], rate: f64) -> Result<Step> {
        check_rate(rate)?;
        let loss = self.add_gradients(batches).await?;
        let gradient_norm = self.update(rate, loss).await?;
        Ok(Step { step: self.step, loss, gradient_norm })
    }

    /// The second half of a step: updates every parameter at this learning rate by the accumulated
    /// gradients, and clears them. Gives their norm before clipping.
    ///
    /// # Errors
    /// As [`Trainer::step`]; `loss` is reported if it diverged, and the gradients are forgotten then.
    pub async fn update(&mut self, rate: f64, loss: f64) -> Result<f64> {
        check_rate(rate)?;
        if !loss.is_finite() {
            return Err(self.forget(loss).await);
        }
        self.write_settings(rate)?;
        let clip = (self.buffers.clip, 0, 16);
        let readback = self.engine.submit(&[(&self.update, 0)], &[clip])?;
        let mut found = [0.0_f32; 4];
        if let Some(readback) = readback {
            let bytes = self.engine.finish(readback).await?;
            bytemuck::cast_slice_mut(&mut found).copy_from_slice(&bytes);
        }
        let [_, gradient_norm, fine, _] = found;
        if fine != 1.0 {
            return Err(self.forget(loss).await);
        }
        self.step += 1;
        Ok(f64::from(gradient_norm))
    }

    /// The first half of a step: accumulates the gradients of the mean loss over all targets of some
    /// batches, and gives that loss.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn add_gradients(&mut self, batches: &[Batch]) -> Result<f64> {
        let counts = batches.iter().map(|batch| self.counted(batch));
        let counted: usize = counts.sum::<Result<usize>>()?;
        if counted == 0 {
            return Err(Error::Input("a step without any target".to_owned()));
        }
        let (mut sum, count) = (0.0, batches.len() as u64);
        for (batch, index) in batches.iter().zip(0..) {
            let draw = (self.step * count + index) as u32;
            let seed = self.options.seed;
            let draw = [seed as u32, (seed >> 32) as u32, draw, 0];
            self.engine.write(self.buffers.draw, 0, bytemuck::cast_slice(&draw))?;
            Buffers::order(&self.engine, self.buffers.tokens, &batch.tokens)?;
            sum += self.run(Task::Learn, batch, counted).await?;
        }
        Ok(sum / counted as f64)
    }

    /// The mean of −ln P over the targets of some batches, without an update.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub async fn evaluate(&mut self, batches: &[Batch]) -> Result<f64> {
        let (mut sum, mut counted) = (0.0, 0);
        for batch in batches {
            let count = self.counted(batch)?;
            sum += self.run(Task::Evaluate, batch, count.max(1)).await?;
            counted += count;
        }
        Ok(sum / counted as f64)
    }

    /// The sum of the losses of a batch.
    async fn run(&mut self, task: Task, batch: &Batch, counted: usize) -> Result<f64> {
        let context = self.options.context;
        let sequences = batch.tokens.chunks(context).zip(0..);
        let rows: Vec<Row> =
            sequences.flat_map(|(tokens, sequence)| rows(tokens, sequence)).collect();
        let Targets { targets, losses, share } = self.buffers.targets;
        self.engine.write(self.buffers.rows, 0, bytemuck::cast_slice(&rows))?;
        self.engine.write(targets, 0, bytemuck::cast_slice(&batch.targets))?;
        self.engine.write(share, 0, bytemuck::bytes_of(&(1.0 / counted as f32)))?;
        let pieces = match task {
            Task::Learn => &self.learn,
            Task::Evaluate => &self.evaluate,
        };
        let read = (losses, 0, rows.len() as u64 * 4);
        let readback = self.engine.submit_pieces(pieces, context as u32, &[read])?;
        let Some(readback) = readback else { return Ok(0.0) };
        let bytes = self.engine.finish(readback).await?;
        let losses: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        Ok(losses.into_iter().map(f64::from).sum())
    }

    /// How many targets of a batch are not ignored.
    fn counted(&self, batch: &Batch) -> Result<usize> {
        let TrainOptions { batch: sequences, context, .. } = self.options;
        let wanted = sequences * context;
        if batch.tokens.len() != wanted || batch.targets.len() != wanted {
            return Err(Error::Input(format!(
                "a batch of {} tokens and {} targets, not {sequences} sequences of {context}",
                batch.tokens.len(),
                batch.targets.len()
            )));
        }
        let vocab = self.model().config.vocab;
        let counts = batch.targets.iter().filter(|target| **target != IGNORED);
        let mut ids = batch.tokens.iter().chain(counts.clone());
        match ids.find(|id| **id as usize >= vocab) {
            Some(id) => {
                Err(Error::Input(format!("token {id} is outside the vocabulary of {vocab}")))
            }
            None => Ok(counts.count()),
        }
    }

    fn write_settings(&self, rate: f64) -> Result<()> {
        let TrainOptions { optimizer, clip, .. } = self.options;
        let (betas, eps, decay) = match optimizer {
            Optimizer::AdamW { betas, eps, decay } => (betas, eps, decay),
            Optimizer::Sgd => ([0.0; 2], 0.0, 0.0),
        };
        // Powers in f64; for exponents too large for it the correction is 1 in any case.
        let power = i32::try_from(self.step + 1).unwrap_or(i32::MAX);
        let corrected = betas.map(|beta| 1.0 - beta.powi(power));
        let settings = OptimizerSettings {
            rate: rate as f32,
            beta1: betas[0] as f32,
            beta2: betas[1] as f32,
            eps: eps as f32,
            decay: decay as f32,
            correction1: corrected[0] as f32,
            correction2: corrected[1] as f32,
            max_norm: clip as f32,
        };
        self.engine.write(self.buffers.settings, 0, bytemuck::bytes_of(&settings))
    }

    /// Clears the gradients of a step that diverged; the device left all else as it was. Gives the
    /// error.
    async fn forget(&mut self, loss: f64) -> Error {
        let error = self.diverged(loss).await;
        match self.parameters.clear_gradients(&self.engine) {
            Ok(()) => error,
            Err(error) => error,
        }
    }

    /// The error for values that are not finite, with the first tensor at fault.
    async fn diverged(&mut self, loss: f64) -> Error {
        let step = self.step + 1;
        for parameter in &self.parameters.all {
            match parameter.read(&mut self.engine, TrainSlot::Gradient).await {
                Err(error) => return error,
                Ok(values) if values.iter().all(|value| value.is_finite()) => {}
                Ok(_) => {
                    let name = self.names.get(&(parameter.params[0], parameter.layer));
                    let tensor = name.cloned().unwrap_or_default();
                    return Error::Diverged { step, loss, tensor: Some(tensor) };
                }
            }
        }
        Error::Diverged { step, loss, tensor: None }
    }

    /// What is stored for one parameter of the function, row-major as [`Checkpoint::matrix`] gives it;
    /// `layer` is ignored for parameters outside the layers.
    ///
    /// # Errors
    /// [`Error::Input`] if the model has no such parameter, [`Error::Device`] if the device fails.
    pub async fn read(&mut self, slot: TrainSlot, part: Param, layer: usize) -> Result<Vec<f32>> {
        let layer = if part.in_layer() { layer } else { 0 };
        let config = &self.parameters.model.config;
        self.parameters.read(&mut self.engine, slot, part, layer, config).await
    }

    /// The values of all parameters of the function, each with its layer.
    pub(super) async fn values(&mut self) -> Result<HashMap<(Param, usize), Vec<f32>>> {
        let config = &self.parameters.model.config;
        self.parameters.read_all(&mut self.engine, TrainSlot::Value, config).await
    }

    /// The moments of each parameter, by the names under which they are saved, and their slots.
    pub(super) fn moments(&mut self) -> (Vec<(String, &Parameter, TrainSlot)>, &mut Engine) {
        let Self { parameters, names, options, engine, .. } = self;
        let kinds: &[(&str, TrainSlot)] = match options.optimizer {
            Optimizer::AdamW { .. } => &[("mean", TrainSlot::Mean), ("square", TrainSlot::Square)],
            Optimizer::Sgd => &[],
        };
        let mut all = Vec::new();
        for parameter in &parameters.all {
            let name = names.get(&(parameter.params[0], parameter.layer));
            for (kind, slot) in kinds {
                all.push((format!("{kind}.{}", name.map_or("", |name| name)), parameter, *slot));
            }
        }
        (all, engine)
    }

    /// Sets the number of steps so far, on which the schedule and the data of a resumed run depend.
    /// The moments do not change.
    pub fn set_steps(&mut self, steps: u64) {
        self.step = steps;
    }

    /// Steps so far.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// The model as it is now; with [`TrainOptions::mixed`] its matrices are f16.
    pub fn model(&self) -> &Model {
        &self.parameters.model
    }

    /// The selected variants.
    pub fn selection(&self) -> &KernelSelection {
        &self.selection
    }

    /// The options of the run.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The engine, for its device and counters.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// How many values are learned.
    pub fn parameter_count(&self) -> usize {
        self.parameters.count()
    }

    /// The memory that all of it takes on the device.
    pub fn fit(&self) -> TrainMemory {
        self.fit
    }
}

/// Fails for a learning rate that would make every parameter NaN or infinite.
fn check_rate(rate: f64) -> Result<()> {
    if (rate as f32).is_finite() && rate >= 0.0 {
        return Ok(());
    }
    Err(Error::Input(format!("the learning rate must be finite and 0 or more, got {rate}")))
}

/// The name of each parameter in the model's files.
fn names(
    parameters: &Parameters,
    checkpoint: &Checkpoint,
) -> Result<HashMap<(Param, usize), String>> {
    let mut names = HashMap::new();
    for parameter in &parameters.all {
        let mut all: Vec<String> = Vec::new();
        for &part in parameter.params {
            let name = checkpoint.matrix(part, parameter.layer)?.name;
            if !all.contains(&name) {
                all.push(name);
            }
        }
        names.insert((parameter.params[0], parameter.layer), all.join(", "));
    }
    Ok(names)
}
