//! Observing a run: named values out, edits in.

use crate::error::{Error, Result};
use crate::gpu::{BufferId, Recording, Tensor};
use crate::hook::Hook;
use crate::model::bound::Bound;
use crate::model::edit::Action;
use crate::model::forward::{forward, logits};
use crate::model::hooks::{heads_first, offered, shape};
use crate::model::memory::pieces;
use crate::model::rows::Rows;
use crate::model::tape::{Marks, Tape};
use crate::ops::{MASKED, MAX_TOP_K, TopK};

use super::collect::{Activation, Collected};
use super::rows::{Row, extent};
use super::staged::Staged;
use super::state::Session;

/// The result of [`Session::observe`].
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// (N, V), of the N rows that were asked for.
    pub logits: Vec<f32>,
    /// Instead, if only these were asked for, the most probable tokens after each of those rows, (id,
    /// ln p), best first; of equal ones the lower id.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// What a part of the rows gave.
#[derive(Debug)]
pub struct ObservedRows<'a> {
    /// The rows.
    pub rows: &'a [Row],
    /// The values read, in the order of the forward pass.
    pub activations: Vec<Activation>,
    /// The logits of those rows among them that were asked for.
    pub logits: Vec<f32>,
    /// Instead, if only these were asked for, the most probable tokens after each of them.
    pub top: Vec<Vec<(u32, f32)>>,
}

/// What is made of the logits of some rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The logits.
    pub(super) out: Tensor,
    /// The indices of the rows.
    pub(super) index: BufferId,
    /// Where the most probable tokens go, and how many they are.
    pub(super) top: Option<(BufferId, usize)>,
}

impl Wanted {
    /// What the host reads.
    fn range(&self) -> (BufferId, u64, u64) {
        match self.top {
            Some((pairs, k)) => (pairs, 0, (self.out.rows * k * 8) as u64),
            None => self.out.range(),
        }
    }
}

impl Session {
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
        self.collect(rows, actions, logits_of, None).await
    }

    /// The same with the `k` most probable tokens after those rows, which are found on the device,
    /// instead of their logits. `k` is at most [`MAX_TOP_K`].
    ///
    /// # Errors
    /// As [`Session::observe_rows`]; [`Error::Input`] for more tokens than that or than the vocabulary has.
    pub async fn observe_top(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
        k: usize,
    ) -> Result<Observed> {
        self.collect(rows, actions, logits_of, Some(k)).await
    }

    async fn collect(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        logits_of: &[usize],
        top: Option<usize>,
    ) -> Result<Observed> {
        let mut collected = Collected::default();
        let (mut logits, mut best) = (Vec::new(), Vec::new());
        let reads = reads(actions);
        let of_row = top.map_or(4 * self.model.config.vocab, |k| 8 * k);
        self.check_room(&reads, rows, logits_of.len() * of_row)?;
        self.observe_each(rows, actions, (logits_of, top), |part| {
            let ObservedRows { rows, activations, logits: own, top } = part;
            collected.add(activations, rows.len(), extent(rows) as usize);
            logits.extend(own);
            best.extend(top);
            Ok(())
        })
        .await?;
        Ok(Observed { activations: collected.finish(&self.model.config), logits, top: best })
    }

    /// The same, handed over in parts as the rows run, so that a long text needs no more memory
    /// than one part of it: the logits of some rows, or, with a number, only so many of the most probable
    /// tokens after them. An error of `each` ends the run.
    ///
    /// # Errors
    /// As [`Session::observe_top`].
    pub async fn observe_each(
        &mut self,
        rows: &[Row],
        actions: &[(Hook, Action)],
        (logits_of, top): (&[usize], Option<usize>),
        mut each: impl FnMut(ObservedRows<'_>) -> Result<()>,
    ) -> Result<()> {
        self.check(rows)?;
        let most = MAX_TOP_K.min(self.model.config.vocab);
        if let Some(k) = top.filter(|k| !(1..=most).contains(k)) {
            return Err(Error::Input(format!(
                "the {k} most probable tokens were asked for; from 1 to {most} can be given"
            )));
        }
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
        let result = self.run_parts(rows, &reads, &edits, (logits_of, top), &mut each).await;
        self.free_operands(&edits[self.edits.len()..]);
        result
    }

    /// The session's edits, then those of these actions on these rows.
    pub(super) fn bind(&self, rows: &[Row], actions: &[(Hook, Action)]) -> Result<Vec<Bound>> {
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
        (logits_of, top): (&[usize], Option<usize>),
        each: &mut impl FnMut(ObservedRows<'_>) -> Result<()>,
    ) -> Result<()> {
        for edit in &edits[self.edits.len()..] {
            self.write_operand(edit)?;
        }
        let mut most = self.rows_at_once(reads, extent(rows) as usize)?;
        if !logits_of.is_empty() {
            most = most.min(self.rows_of_logits()?);
        }
        let mut first = 0;
        for rows in rows.chunks(most) {
            let own = logits_of.iter().filter(|row| (first..first + rows.len()).contains(*row));
            let own: Vec<u32> = own.map(|row| (row - first) as u32).collect();
            first += rows.len();
            let part = self.run_part(rows, reads, edits, &own, top).await?;
            each(part)?;
        }
        Ok(())
    }

    /// Runs some rows and reads back what was asked for.
    async fn run_part<'r>(
        &mut self,
        rows: &'r [Row],
        reads: &[Hook],
        edits: &[Bound],
        logits_of: &[u32],
        top: Option<usize>,
    ) -> Result<ObservedRows<'r>> {
        let out = Tensor::persistent(logits_of.len(), self.model.config.vocab);
        let top = top.map(|k| (BufferId::fresh(), k));
        let wanted = Wanted { out, index: BufferId::fresh(), top };
        let wanted = (!logits_of.is_empty()).then_some(wanted);
        let (recording, marks) = self.record(rows, reads, edits, wanted)?;
        let made = wanted.map_or(Ok(()), |wanted| self.create_wanted(&wanted, logits_of));
        let result = match made {
            Ok(()) => self.submit_and_read(rows, &recording, &marks, wanted).await,
            Err(error) => Err(error),
        };
        if let Some(Wanted { out, index, top }) = wanted {
            let pairs = top.map(|(pairs, _)| pairs);
            let own = [out.buffer, index].into_iter().chain(pairs);
            own.for_each(|buffer| self.engine.free(buffer));
        }
        marks.reads.iter().for_each(|(_, tensor)| self.engine.free(tensor.buffer));
        result
    }

    fn create_wanted(&mut self, wanted: &Wanted, logits_of: &[u32]) -> Result<()> {
        let Wanted { out, index, top } = wanted;
        self.engine.create_tensor(out)?;
        self.engine.create(*index, 4 * logits_of.len() as u64)?;
        self.engine.write(*index, 0, bytemuck::cast_slice(logits_of))?;
        top.map_or(Ok(()), |(pairs, k)| self.engine.create(pairs, (out.rows * k * 8) as u64))
    }

    async fn submit_and_read<'r>(
        &mut self,
        rows: &'r [Row],
        recording: &Recording,
        marks: &Marks,
        wanted: Option<Wanted>,
    ) -> Result<ObservedRows<'r>> {
        let mut part =
            ObservedRows { rows, activations: Vec::new(), logits: Vec::new(), top: Vec::new() };
        let ranges = marks.reads.iter().map(|(_, tensor)| tensor.range());
        let ranges: Vec<_> = ranges.chain(wanted.map(|wanted| wanted.range())).collect();
        self.begin(rows, marks)?;
        let pieces = pieces(&self.model.config, &self.selection, rows.len());
        let staged = Staged::prepare(&mut self.engine, recording, marks, pieces)?;
        let ran = self.run(&staged, rows, &ranges).await;
        staged.free(&mut self.engine);
        let Some(readback) = ran? else { return Ok(part) };
        let bytes = self.engine.finish(readback).await?;
        let (activations, rest) = self.activations(&marks.reads, rows, &bytes);
        part.activations = activations;
        match wanted {
            Some(Wanted { top: Some((_, k)), .. }) => {
                let pairs: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(rest);
                let pair = |[id, bits]: &[u32; 2]| (*id, f32::from_bits(*bits));
                part.top = pairs.chunks(k).map(|row| row.iter().map(pair).collect()).collect();
            }
            Some(Wanted { out, .. }) => part.logits = out.values(rest),
            None => {}
        }
        Ok(part)
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
    pub(super) fn record(
        &self,
        rows: &[Row],
        reads: &[Hook],
        edits: &[Bound],
        wanted: Option<Wanted>,
    ) -> Result<(Recording, Marks)> {
        let keys = extent(rows) as usize;
        let mut tape = Tape::with_edits(&self.selection, reads, edits, self.rows, keys);
        let of = Rows { buffer: self.rows, count: rows.len() };
        let x = forward(&mut tape, &self.model, &self.caches, of)?;
        if let Some(Wanted { out, index, top }) = wanted {
            let index = (out.rows < rows.len()).then_some(index);
            logits(&mut tape, &self.model, x, index, out)?;
            if let Some((pairs, k)) = top {
                tape.push(TopK { logits: out, k, chosen: None, out: pairs })?;
            }
        }
        Ok(tape.finish())
    }

    /// Creates and writes the tensor that an edit reads.
    pub(super) fn write_operand(&mut self, edit: &Bound) -> Result<()> {
        let Some((tensor, values)) = edit.input() else { return Ok(()) };
        self.engine.create_tensor(&tensor)?;
        self.engine.write_tensor(&tensor, values)
    }

    /// Writes the rows, and creates the tensors that the marks fill.
    pub(super) fn begin(&mut self, rows: &[Row], marks: &Marks) -> Result<()> {
        self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
        self.note(rows);
        marks.reads.iter().try_for_each(|(_, tensor)| self.engine.create_tensor(tensor))
    }
}

/// The values to read among actions.
pub(super) fn reads(actions: &[(Hook, Action)]) -> Vec<Hook> {
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
