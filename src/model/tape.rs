//! A recording in progress: ops are pushed, and values are marked with their names.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::gpu::{BufferId, Recording, Tensor};
use crate::hook::{Hook, Point};
#[cfg(feature = "train")]
use crate::ops::backward::Dropout;
use crate::ops::{Columns, Gather, Op, ScaleAdd};
use crate::select::KernelSelection;

use super::hooks::{Action, Affine, Edit};

/// Records ops; a mark costs nothing unless its name was asked for.
#[derive(Debug)]
pub struct Tape<'a> {
    recording: Recording,
    selection: &'a KernelSelection,
    read: HashSet<Hook>,
    edits: Vec<(Hook, Edit)>,
    dropouts: Vec<(Hook, DropoutSite)>,
    kept: HashMap<Hook, Option<Columns>>,
    keys: usize,
    marks: Marks,
}

/// Dropout of a value during training: some numbers become zero at random, and the others are
/// scaled up to make up for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutSite {
    /// The probability that a number becomes zero.
    pub probability: f64,
    /// The words of the draw: seed, low half first, step, and 0.
    pub draw: BufferId,
    /// Distinguishes the sites of one model, which draw from the same words.
    pub site: u32,
}

/// Tensors that the marks of a recording need in addition; the engine must create all of them.
#[derive(Debug, Default)]
pub struct Marks {
    /// The values read, filled by the run, in the order of the forward pass.
    pub reads: Vec<(Hook, Tensor)>,
    /// The inputs of edits, which must be written before the run.
    pub inputs: Vec<(Tensor, Vec<f32>)>,
}

impl<'a> Tape<'a> {
    /// An empty tape for a kernel selection.
    pub fn new(selection: &'a KernelSelection) -> Self {
        Self::with_hooks(selection, &[])
    }

    /// An empty tape that reads the values of these hooks; scores and patterns are as wide as the
    /// cache.
    pub fn with_hooks(selection: &'a KernelSelection, hooks: &[Hook]) -> Self {
        let actions: Vec<_> = hooks.iter().map(|hook| (*hook, Action::Read)).collect();
        Self::with_actions(selection, &actions, usize::MAX)
    }

    /// An empty tape that reads and edits values; scores and patterns are `keys` wide, or as wide
    /// as the cache if that is less. Edits of one value apply in order, before it is read.
    pub fn with_actions(
        selection: &'a KernelSelection,
        actions: &[(Hook, Action)],
        keys: usize,
    ) -> Self {
        let edit = |(hook, action): &(Hook, Action)| match action {
            Action::Read => None,
            Action::Edit(edit) => Some((*hook, edit.clone())),
        };
        let read = actions.iter().filter(|(_, action)| *action == Action::Read);
        Self {
            recording: Recording::new(),
            selection,
            read: read.map(|(hook, _)| *hook).collect(),
            edits: actions.iter().filter_map(edit).collect(),
            dropouts: Vec::new(),
            kept: HashMap::new(),
            keys,
            marks: Marks::default(),
        }
    }

    /// Keeps a value for ops recorded later, which get it from [`Tape::kept`].
    pub fn keep(&mut self, hook: Hook) {
        self.kept.insert(hook, None);
    }

    /// A kept value, if it has been marked.
    pub fn kept(&self, hook: Hook) -> Option<Columns> {
        self.kept.get(&hook).copied().flatten()
    }

    /// Drops some of a value's numbers at random, before it is kept or read.
    #[cfg(feature = "train")]
    pub fn set_dropout(&mut self, hook: Hook, drop: DropoutSite) {
        self.dropouts.push((hook, drop));
    }

    /// A matrix that lives only within the recording.
    pub fn tensor(&mut self, rows: usize, columns: usize) -> Tensor {
        self.recording.tensor(rows, columns)
    }

    /// Appends an op.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if its tensors do not fit.
    pub fn push(&mut self, op: impl Op) -> Result<()> {
        op.record(&mut self.recording, self.selection)
    }

    /// Whether this value is read, kept or edited.
    pub fn wants(&self, hook: Hook) -> bool {
        self.read.contains(&hook) || self.kept.contains_key(&hook) || self.edits(hook)
    }

    /// Whether this value is edited, or has dropout.
    pub fn edits(&self, hook: Hook) -> bool {
        self.edits.iter().any(|(edited, _)| *edited == hook)
            || self.dropouts.iter().any(|(dropped, _)| *dropped == hook)
    }

    /// The most columns of scores and patterns.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// Names a value. Appends its edits, in place; then, if the value is read, a copy into a tensor
    /// that outlives the run.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the columns are not the tensor's,
    /// [`Error::Input`](crate::Error::Input) if an edit does not fit the value.
    pub fn mark(&mut self, hook: Hook, value: Columns) -> Result<()> {
        let edits = self.edits.iter().filter(|(edited, _)| *edited == hook);
        let edits: Result<Vec<Affine>> = edits.map(|(_, edit)| edit.affine(hook, value)).collect();
        for Affine { x, rows, scale, add, values } in edits? {
            self.marks.inputs.push((add, values));
            self.push(ScaleAdd { x, rows, scale, add })?;
        }
        #[cfg(feature = "train")]
        for (dropped, DropoutSite { probability, draw, site }) in self.dropouts.clone() {
            if dropped == hook {
                self.push(Dropout { x: value.of, probability, draw, site })?;
            }
        }
        if self.kept.contains_key(&hook) {
            // The residual stream changes in place later on; other values stay unchanged.
            let mut kept = value;
            if matches!(hook.point(), Point::ResidPre | Point::ResidMid) {
                let out = self.tensor(value.of.rows, value.count);
                self.push(Gather { x: value, index: None, out })?;
                kept = Columns::all(out);
            }
            self.kept.insert(hook, Some(kept));
        }
        if self.read.contains(&hook) {
            let out = Tensor::persistent(value.of.rows, value.count);
            self.marks.reads.push((hook, out));
            self.push(Gather { x: value, index: None, out })?;
        }
        Ok(())
    }

    /// The recording, and the tensors that its marks need.
    pub fn finish(mut self) -> (Recording, Marks) {
        // Independent steps may have been recorded in another order.
        self.marks.reads.sort_by_key(|(hook, _)| hook.place());
        (self.recording, self.marks)
    }
}
