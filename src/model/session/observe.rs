//! Observing a run: named values out, edits in.

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Readback, Recording, Tensor};
use crate::hook::Hook;
use crate::model::edit::{Action, Bound};
use crate::model::forward::{forward, logits};
use crate::model::hooks::{heads_first, offered, shape};
use crate::model::plan::pieces;
use crate::model::tape::{Marks, Tape};
use crate::ops::MASKED;

use super::collect::{Activation, Collected};
use super::state::{Row, Session, extent};

/// The result of [`Session::observe`].
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// (N, V), of the N rows that were asked for.
    pub logits: Vec<f32>,
}

/// What a part of the rows gave.
#[derive(Debug)]
pub struct Part<'a> {
    /// The rows.
    pub rows: &'a [Row],
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// The logits of those rows among them that were asked for.
    pub logits: Vec<f32>,
}

/// A named value that stays on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Resident {
    /// Its name.
    pub hook: Hook,
    /// Its sizes, as in [`Activation::shape`].
    pub shape: Vec<usize>,
    /// Its tensor, with a row for each row of values, padded to [`Tensor::stride`]. The first size
    /// is its rows and the product of the others its columns; for scores and patterns all sizes but
    /// the last are its rows. Scores that the mask hides are below −10³⁰.
    pub tensor: Tensor,
}

/// What [`Session::observe_on_device`] leaves on the device, until [`Session::release`].
#[derive(Debug)]
pub struct OnDevice {
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Resident>,
    /// (T, V).
    pub logits: Tensor,
}

impl Session {
    /// Runs rows while reading and editing named values, as [`Session::observe`] does, but reads
    /// nothing back: values and logits stay in buffers that an app's own passes can use, through
    /// [`Engine::buffer`](crate::gpu::Engine::buffer). Does not wait.
    ///
    /// # Errors
    /// As [`Session::observe`]; [`Error::Input`] for no rows.
    pub fn observe_on_device(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
    ) -> Result<OnDevice> {
        if rows.is_empty() {
            return Err(Error::Input("there are no rows to observe".to_owned()));
        }
        self.check(rows)?;
        let reads = reads(actions);
        reads.iter().try_for_each(|hook| offered(&self.model.config, *hook))?;
        let most = self.rows_at_once(&reads, extent(rows) as usize)?;
        if rows.len() > most {
            return Err(Error::Input(format!(
                "{} rows were given to stay on the device, which runs at most {most} of them at once",
                rows.len(),
            )));
        }
        let edits = self.bind(rows, actions)?;
        let own = self.edits.len();
        let out = Tensor::persistent(rows.len(), self.model.config.vocab);
        let (recording, marks) =
            self.record(rows, &reads, &edits, Some((out, BufferId::fresh())))?;
        let submitted = self.engine.create_tensor(&out).and_then(|()| {
            edits[own..].iter().try_for_each(|edit| self.write_operand(edit))?;
            self.submit_with_marks(rows, &recording, &marks, &[])
        });
        self.free_operands(&edits[own..]);
        let keys = extent(rows) as usize;
        let resident = |(hook, tensor): (Hook, Tensor)| {
            let shape = shape(&self.model.config, hook, rows.len(), keys);
            Resident { hook, shape, tensor }
        };
        let activations = marks.reads.into_iter().map(resident).collect();
        let kept = OnDevice { activations, logits: out };
        match submitted {
            Ok(_) => Ok(kept),
            Err(error) => {
                self.release(kept);
                Err(error)
            }
        }
    }

    /// Frees what was left on the device; passes that use it keep it until they end.
    pub fn release(&mut self, kept: OnDevice) {
        self.engine.free(kept.logits.buffer);
        for activation in kept.activations {
            self.engine.free(activation.tensor.buffer);
        }
    }

    /// Runs rows and returns the named values, in the order of the forward pass.
    ///
    /// # Errors
    /// As [`Session::fill`], [`Error::Input`] for a value that the model does not have, and
    /// [`Error::Memory`] for values that the memory has no room for.
    pub async fn values(&mut self, rows: &[Row], hooks: &[Hook]) -> Result<Vec<Activation>> {
        let reads: Vec<_> = hooks.iter().map(|hook| (*hook, Action::Read)).collect();
        Ok(self.observe_rows(rows, &reads, &[]).await?.activations)
    }

    /// Runs rows while reading and editing named values, and also returns their logits. Edits of
    /// one value apply in order, before it is read; edited keys and values stay edited in the
    /// cache. What [`Session::set_edits`] has set applies first.
    ///
    /// # Errors
    /// As [`Session::values`], and [`Error::Input`] for an edit that does not fit its value.
    pub async fn observe(&mut self, rows: &[Row], actions: &[(Hook, Action)]) -> Result<Observed> {
        let all: Vec<usize> = (0..rows.len()).collect();
        self.observe_rows(rows, actions, &all).await
    }

    /// The same with the logits of some rows only: their indices, in ascending order.
    ///
    /// # Errors
    /// As [`Session::observe`], and [`Error::Input`] for indices that are not in order or beyond the
    /// rows.
    pub async fn observe_rows(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
    ) -> Result<Observed> {
        let mut collected = Collected::default();
        let mut logits = Vec::new();
        let reads = reads(actions);
        self.check_room(&reads, rows, logits_of.len())?;
        self.observe_each(rows, actions, logits_of, |part| {
            let Part { rows, activations, logits: own } = part;
            collected.add(activations, rows.len(), extent(rows) as usize);
            logits.extend(own);
            Ok(())
        })
        .await?;
        Ok(Observed { activations: collected.finish(&self.model.config), logits })
    }

    /// The same, handed over in parts as the rows run, so that a long text needs no more memory
    /// than one part of it. An error of `each` ends the run.
    ///
    /// # Errors
    /// As [`Session::observe_rows`].
    pub async fn observe_each(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
        mut each: impl FnMut(Part<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check(rows)?;
        let ordered = logits_of.is_sorted_by(|a, b| a < b);
        if !ordered || logits_of.last().is_some_and(|last| *last >= rows.len()) {
            return Err(Error::Input(format!(
                "logits are given of rows in ascending order, of the {} there are",
                rows.len()
            )));
        }
        let reads = reads(actions);
        reads.iter().try_for_each(|hook| offered(&self.model.config, *hook))?;
        let edits = self.bind(rows, actions)?;
        let result = self.run_parts(rows, &reads, &edits, logits_of, &mut each).await;
        self.free_operands(&edits[self.edits.len()..]);
        result
    }

    /// The session's edits, then those of these actions on these rows.
    fn bind(&self, rows: &[Row], actions: &[(Hook, Action)]) -> Result<Vec<Bound>> {
        let keys = extent(rows) as usize;
        let mut edits = self.edits.clone();
        for (hook, action) in actions {
            let Action::Edit(edit) = action else { continue };
            edits.push(edit.bind_to(&self.model.config, *hook, keys)?);
        }
        Ok(edits)
    }

    /// Runs rows in parts that the device has room for.
    async fn run_parts(
        &mut self,
        rows: &[Row],
        reads: &[Hook],
        edits: &[Bound],
        logits_of: &[usize],
        each: &mut impl FnMut(Part<'_>) -> Result<()>,
    ) -> Result<()> {
        for edit in &edits[self.edits.len()..] {
            self.write_operand(edit)?;
        }
        let most = self.rows_at_once(reads, extent(rows) as usize)?;
        let mut first = 0;
        for rows in rows.chunks(most) {
            let own = logits_of.iter().filter(|row| (first..first + rows.len()).contains(*row));
            let own: Vec<u32> = own.map(|row| (row - first) as u32).collect();
            first += rows.len();
            let (activations, logits) = self.run_part(rows, reads, edits, &own).await?;
            each(Part { rows, activations, logits })?;
        }
        Ok(())
    }

    /// Runs some rows and reads back what was asked for.
    async fn run_part(
        &mut self,
        rows: &[Row],
        reads: &[Hook],
        edits: &[Bound],
        logits_of: &[u32],
    ) -> Result<(Vec<Activation>, Vec<f32>)> {
        let out = Tensor::persistent(logits_of.len(), self.model.config.vocab);
        let index = BufferId::fresh();
        let wanted = (!logits_of.is_empty()).then_some((out, index));
        let (recording, marks) = self.record(rows, reads, edits, wanted)?;
        let mut made = Vec::new();
        if wanted.is_some() {
            self.engine.create(index, 4 * logits_of.len() as u64)?;
            self.engine.write(index, 0, bytemuck::cast_slice(logits_of))?;
            made.push(index);
        }
        let result =
            self.submit_and_read(rows, &recording, &marks, wanted.map(|(out, _)| out)).await;
        made.push(out.buffer);
        made.extend(marks.reads.iter().map(|(_, tensor)| tensor.buffer));
        made.into_iter().for_each(|buffer| self.engine.free(buffer));
        result
    }

    async fn submit_and_read(
        &mut self,
        rows: &[Row],
        recording: &Recording,
        marks: &Marks,
        logits: Option<Tensor>,
    ) -> Result<(Vec<Activation>, Vec<f32>)> {
        if let Some(out) = &logits {
            self.engine.create_tensor(out)?;
        }
        let tensors = marks.reads.iter().map(|(_, tensor)| *tensor).chain(logits);
        let ranges: Vec<_> = tensors.map(|tensor| tensor.range()).collect();
        let Some(readback) = self.submit_with_marks(rows, recording, marks, &ranges)? else {
            return Ok((Vec::new(), Vec::new()));
        };
        let bytes = self.engine.finish(readback).await?;
        let (activations, rest) = self.activations(&marks.reads, rows, &bytes);
        Ok((activations, logits.map_or_else(Vec::new, |out| out.values(rest))))
    }

    /// The values in a readback over these rows, and the bytes that follow them.
    pub(crate) fn activations<'b>(
        &self,
        reads: &[(Hook, Tensor)],
        rows: &[Row],
        bytes: &'b [u8],
    ) -> (Vec<Activation>, &'b [u8]) {
        let (mut activations, mut rest) = (Vec::with_capacity(reads.len()), bytes);
        for (hook, tensor) in reads {
            let (own, after) = rest.split_at(tensor.bytes() as usize);
            activations.push(self.activation(*hook, tensor, own, rows));
            rest = after;
        }
        (activations, rest)
    }

    /// A value read back over these rows.
    fn activation(&self, hook: Hook, tensor: &Tensor, bytes: &[u8], rows: &[Row]) -> Activation {
        let config = &self.model.config;
        let keys = extent(rows) as usize;
        let mut values = tensor.values(bytes);
        if heads_first(hook) && tensor.columns > keys {
            // A plan for any position gives room to all keys that the context has.
            let own = values.chunks(tensor.columns).flat_map(|row| &row[..keys]);
            values = own.copied().collect();
        }
        if let Hook::AttnScores(layer) = hook {
            mask_scores(&mut values, keys, rows, config.window(layer));
        }
        Activation { hook, shape: shape(config, hook, rows.len(), keys), values }
    }

    /// Records a run of rows with edits, the values to read, and the logits of rows by an index.
    fn record(
        &self,
        rows: &[Row],
        reads: &[Hook],
        edits: &[Bound],
        wanted: Option<(Tensor, BufferId)>,
    ) -> Result<(Recording, Marks)> {
        let keys = extent(rows) as usize;
        let mut tape = Tape::with_edits(&self.selection, reads, edits, self.rows, keys);
        let x = forward(&mut tape, &self.model, &self.caches, self.rows, rows.len())?;
        if let Some((out, index)) = wanted {
            let index = (out.rows < rows.len()).then_some(index);
            logits(&mut tape, &self.model, x, index, out)?;
        }
        Ok(tape.finish())
    }

    /// Creates and writes the tensor that an edit reads.
    pub(super) fn write_operand(&mut self, edit: &Bound) -> Result<()> {
        let (tensor, values) = edit.input();
        self.engine.create_tensor(&tensor)?;
        self.engine.write_tensor(&tensor, values)
    }

    /// Creates the tensors of the marks, runs the recording and copies these ranges.
    fn submit_with_marks(
        &mut self,
        rows: &[Row],
        recording: &Recording,
        marks: &Marks,
        ranges: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
        self.note(rows);
        for (_, tensor) in &marks.reads {
            self.engine.create_tensor(tensor)?;
        }
        let pieces = pieces(&self.model.config, &self.selection, rows.len());
        let pieces = self.engine.prepare(recording)?.in_pieces(pieces);
        self.engine.submit_pieces(&pieces, extent(rows), ranges)
    }
}

/// The values to read among actions.
fn reads(actions: &[(Hook, Action)]) -> Vec<Hook> {
    let read = |(hook, action): &(Hook, Action)| (*action == Action::Read).then_some(*hook);
    actions.iter().filter_map(read).collect()
}

/// Sets scores to −∞ that the mask or an edit hides; the kernels write finite ones there.
fn mask_scores(scores: &mut [f32], keys: usize, rows: &[Row], window: Option<usize>) {
    for (scores, row) in scores.chunks_mut(keys).zip(rows.iter().cycle()) {
        let end = row.position as usize + 1;
        let seen = window.map_or(0, |window| end.saturating_sub(window))..end;
        for (key, score) in scores.iter_mut().enumerate() {
            if !seen.contains(&key) || *score <= MASKED {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
