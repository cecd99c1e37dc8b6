//! A recording in progress: ops are pushed, and values are marked with their names.

use std::collections::{HashMap, HashSet};

use crate::error::Result;
use crate::gpu::{BufferId, Recording, Tensor};
use crate::hook::{Hook, Point};
#[cfg(feature = "train")]
use crate::ops::backward::Dropout;
use crate::ops::{Columns, Gather, Op};
use crate::select::KernelSelection;

use super::bound::{Bound, EditOp};

/// Records ops; a mark costs nothing unless its name was asked for.
#[derive(Debug)]
pub struct Tape<'a> {
    recording: Recording,
    selection: &'a KernelSelection,
    read: HashSet<Hook>,
    edits: &'a [Bound],
    /// (T): token, position, sequence and step of each row, for the edits.
    rows: BufferId,
    dropouts: Vec<(Hook, DropoutSite)>,
    kept: HashMap<Hook, Option<Columns>>,
    copies: Vec<ReadCopy>,
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
    /// Where the run stops for the host, in order.
    pub(super) calls: Vec<Call>,
    /// The tensors that hold the values there.
    pub(super) stopped: Vec<Tensor>,
}

/// A dispatch that copies a whole tensor for a reader.
#[derive(Clone, Copy, Debug)]
struct ReadCopy {
    /// How many dispatches come before it.
    at: usize,
    from: Tensor,
    to: Tensor,
}

/// A place at which a run stops, so that a function of the caller's can change a value.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// How many dispatches come before it.
    pub(super) at: usize,
    pub(super) edit: Bound,
    pub(super) value: Columns,
}

impl<'a> Tape<'a> {
    /// An empty tape for a kernel selection.
    pub fn new(selection: &'a KernelSelection) -> Self {
        Self::with_hooks(selection, &[])
    }

    /// An empty tape that reads the values of these hooks; scores and patterns are as wide as the
    /// cache.
    pub fn with_hooks(selection: &'a KernelSelection, hooks: &[Hook]) -> Self {
        Self::with_edits(selection, hooks, &[], BufferId::fresh(), usize::MAX)
    }

    /// An empty tape that edits values of these `rows` and reads some; scores and patterns are
    /// `keys` wide, or as wide as the cache if that is less. Edits of one value apply in order,
    /// before it is read.
    pub(crate) fn with_edits(
        selection: &'a KernelSelection,
        read: &[Hook],
        edits: &'a [Bound],
        rows: BufferId,
        keys: usize,
    ) -> Self {
        Self {
            recording: Recording::new(),
            selection,
            read: read.iter().copied().collect(),
            edits,
            rows,
            dropouts: Vec::new(),
            kept: HashMap::new(),
            copies: Vec::new(),
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
        self.edits.iter().any(|edit| edit.hook == hook)
            || self.dropouts.iter().any(|(dropped, _)| *dropped == hook)
    }

    /// The most columns of scores and patterns.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// Names a value. Appends its edits, in place; then, if the value is read, a copy into a tensor
    /// that outlives the run, which is left out if the value stays as it is.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the columns are not the tensor's.
    pub fn mark(&mut self, hook: Hook, value: Columns) -> Result<()> {
        for edit in self.edits.iter().filter(|edit| edit.hook == hook) {
            match edit.op(self.rows, value) {
                Some(EditOp::ScaleAdd(op)) => self.push(op)?,
                Some(EditOp::Project(op)) => self.push(op)?,
                Some(EditOp::Own(op)) => self.push(op)?,
                Some(EditOp::Call) => {
                    let at = self.recording.dispatches().len();
                    self.marks.calls.push(Call { at, edit: edit.clone(), value });
                }
                None => {}
            }
        }
        #[cfg(feature = "train")]
        for (dropped, DropoutSite { probability, draw, site }) in self.dropouts.clone() {
            if dropped == hook {
                self.push(Dropout { x: value.of, probability, draw, site })?;
            }
        }
        if self.kept.get(&hook).is_some_and(Option::is_none) {
            // The residual stream changes in place later on; other values stay unchanged.
            let mut kept = value;
            if matches!(hook.point(), Point::ResidPre | Point::ResidMid) {
                let out = self.tensor(value.of.rows, value.count);
                self.push(Gather { x: value, index: None, out })?;
                kept = Columns::all(out);
            }
            self.kept.insert(hook, Some(kept));
        }
        // A value that is computed for several branches is read once, and yet takes one form in all.
        if self.read.contains(&hook) && !self.is_read(hook) {
            let out = Tensor::persistent(value.of.rows, value.count);
            self.marks.reads.push((hook, out));
            if value.is_whole() {
                let at = self.recording.dispatches().len();
                self.copies.push(ReadCopy { at, from: value.of, to: out });
            }
            self.push(Gather { x: value, index: None, out })?;
        }
        Ok(())
    }

    fn is_read(&self, hook: Hook) -> bool {
        self.marks.reads.iter().any(|(read, _)| *read == hook)
    }

    /// Where the op that makes a value may write it a second time, for the first of these names that
    /// is read or kept; its mark then copies nothing. The marks follow in this order, and what they
    /// edit, later ones see: so there is no such place if a change comes first.
    pub(super) fn second_copy(&mut self, names: &[Hook], like: Tensor) -> Option<Tensor> {
        let unchanged = names.iter().take_while(|name| !self.edits(**name));
        let name = *unchanged.clone().find(|name| self.wants(**name))?;
        if self.read.contains(&name) {
            let out = Tensor::persistent(like.rows, like.columns);
            self.marks.reads.push((name, out));
            return Some(out);
        }
        let out = self.tensor(like.rows, like.columns);
        self.kept.insert(name, Some(Columns::all(out)));
        Some(out)
    }

    /// The recording, and the tensors that its marks need.
    pub fn finish(mut self) -> (Recording, Marks) {
        self.leave_out_copies();
        // Independent steps may have been recorded in another order.
        self.marks.reads.sort_by_key(|(hook, _)| hook.place());
        // The host reads and writes only buffers that outlive the recording.
        let mut given: HashMap<BufferId, BufferId> = HashMap::new();
        for Call { value, .. } in &mut self.marks.calls {
            let own = value.of.buffer;
            if !own.is_transient() {
                continue;
            }
            value.of.buffer = *given.entry(own).or_insert_with(|| {
                let buffer = BufferId::fresh();
                self.recording.replace(own, buffer);
                self.marks.stopped.push(Tensor { buffer, ..value.of });
                buffer
            });
        }
        (self.recording, self.marks)
    }

    /// A value that stays as it is after its mark needs no copy: it is written where it is read.
    fn leave_out_copies(&mut self) {
        for i in 0..self.copies.len() {
            let ReadCopy { at, from, to } = self.copies[i];
            let calls = &mut self.marks.calls;
            let called = |call: &Call| call.at > at && call.value.of.buffer == from.buffer;
            if calls.iter().any(called) || !self.recording.leave_out_copy(at, &from, &to) {
                continue;
            }
            self.copies[i + 1..].iter_mut().for_each(|later| later.at -= 1);
            for call in calls {
                call.at -= usize::from(call.at > at);
                if call.value.of.buffer == from.buffer {
                    call.value.of.buffer = to.buffer;
                }
            }
        }
    }
}
