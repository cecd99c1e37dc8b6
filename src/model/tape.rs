//! A recording in the making: ops are pushed, and values are marked with their names.

use std::collections::HashSet;

use crate::error::Result;
use crate::gpu::{Recording, Tensor};
use crate::names::Hook;
use crate::ops::{Add, Choices, Columns, Gather, Linear, Op, Store};

/// Records ops; a mark costs nothing unless somebody asked for its name.
#[derive(Debug)]
pub struct Tape<'a> {
    recording: Recording,
    choices: &'a Choices,
    asked: HashSet<Hook>,
    reads: Vec<(Hook, Tensor)>,
}

impl<'a> Tape<'a> {
    /// An empty tape for a device's choices.
    pub fn new(choices: &'a Choices) -> Self {
        Self::with_hooks(choices, &[])
    }

    /// An empty tape that keeps the values of these hooks.
    pub fn with_hooks(choices: &'a Choices, hooks: &[Hook]) -> Self {
        Self {
            recording: Recording::new(),
            choices,
            asked: hooks.iter().copied().collect(),
            reads: Vec::new(),
        }
    }

    /// A matrix that lives within the recording.
    pub fn tensor(&mut self, rows: usize, columns: usize) -> Tensor {
        self.recording.tensor(rows, columns)
    }

    /// Appends an op.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if its tensors do not fit.
    pub fn push(&mut self, op: impl Op) -> Result<()> {
        op.record(&mut self.recording, self.choices)
    }

    /// Whether somebody asked for this value.
    pub fn wants(&self, hook: Hook) -> bool {
        self.asked.contains(&hook)
    }

    /// Names a value. If somebody asked for it, appends a copy into a tensor that outlives the run.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the columns are not the tensor's.
    pub fn mark(&mut self, hook: Hook, x: Columns) -> Result<()> {
        if !self.wants(hook) {
            return Ok(());
        }
        let out = Tensor::lasting(x.of.rows, x.count);
        self.reads.push((hook, out));
        self.push(Gather { x, index: None, out })
    }

    /// Adds a linear map's output to the residual stream `x`. If somebody asked for the summand, it
    /// is made on its own and then added.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit.
    pub fn push_residual(&mut self, hook: Hook, linear: Linear<'_>) -> Result<()> {
        if !self.wants(hook) {
            return self.push(Linear { store: Store::Add, ..linear });
        }
        let summand = self.tensor(linear.out.rows, linear.out.columns);
        self.push(Linear { store: Store::Write, out: summand, ..linear })?;
        self.mark(hook, Columns::all(summand))?;
        self.push(Add { x: summand, out: linear.out })
    }

    /// The recording, and the tensors that hold what was asked for; the engine must create those.
    pub fn finish(self) -> (Recording, Vec<(Hook, Tensor)>) {
        (self.recording, self.reads)
    }
}
