//! Variants of one text, many at a time, from the layer on in which they differ; and what any value of
//! the residual stream would say.

use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::hook::Hook;
use crate::model::blocks::Pass;
use crate::model::bound::Bound;
use crate::model::edit::Edit;
use crate::model::forward::{logits, resume};
use crate::model::plan::{create_cache, pieces};
use crate::model::tape::Tape;
use crate::ops::{Cache, LogProb};

use super::rows::{Row, extent, rows};
use super::staged::Staged;
use super::state::Session;

/// What a variant of a text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The logits after the last token, (V).
    Logits,
    /// ln p of each token after the first, (T − 1).
    Logprobs,
}

/// A batch of variants, each a sequence of its own, with room of its own for keys and values.
struct Batch {
    caches: Vec<Cache>,
    rows: Vec<Row>,
    targets: Vec<u32>,
    edits: Vec<Bound>,
    /// How many of the edits are the session's own.
    common: usize,
}

impl Session {
    /// Runs variants of a text, which share everything before layer `first`: `stream` is what that
    /// layer reads, (T, C). Each variant's edits act in it and the layers after it, besides those that
    /// the session has set, of which those of the stream itself count as done. The caches stay as
    /// they are.
    ///
    /// # Errors
    /// As [`Session::observe`].
    pub(crate) async fn run_variants(
        &mut self,
        tokens: &[u32],
        first: usize,
        stream: &[f32],
        variants: &[Vec<(Hook, Edit)>],
        outcome: Outcome,
    ) -> Result<Vec<Vec<f32>>> {
        self.check(&rows(tokens, 0))?;
        let at_once = (self.chunk / tokens.len()).clamp(1, variants.len().max(1));
        let caches = self.caches_of(at_once, tokens.len())?;
        let mut found = Ok(Vec::new());
        for variants in variants.chunks(at_once) {
            let outcomes = match self.batch(&caches, tokens, first, variants) {
                Ok(batch) => {
                    let outcomes =
                        self.run_batch(&batch, tokens.len(), first, stream, outcome).await;
                    self.free_operands(&batch.edits[batch.common..]);
                    outcomes
                }
                Err(error) => Err(error),
            };
            match (&mut found, outcomes) {
                (Ok(found), Ok(outcomes)) => found.extend(outcomes),
                (found, Err(error)) => *found = Err(error),
                (Err(_), _) => {}
            }
            if found.is_err() {
                break;
            }
        }
        for part in caches.iter().flat_map(|cache| &cache.shards) {
            self.engine.free(part.k);
            self.engine.free(part.v);
        }
        found
    }

    /// Caches of so many sequences and positions.
    fn caches_of(&mut self, sequences: usize, context: usize) -> Result<Vec<Cache>> {
        let limit = self.engine.gpu().caps().max_buffer_bytes();
        let own = &self.caches;
        let caches: Vec<Cache> = own
            .iter()
            .map(|own| {
                Cache::named(own.format, [sequences, context], [own.heads, own.width], limit)
            })
            .collect();
        for cache in &caches {
            create_cache(&mut self.engine, cache)?;
        }
        Ok(caches)
    }

    fn batch(
        &mut self,
        caches: &[Cache],
        tokens: &[u32],
        first: usize,
        variants: &[Vec<(Hook, Edit)>],
    ) -> Result<Batch> {
        let done = Hook::ResidPre(first);
        let mut edits: Vec<Bound> =
            self.edits.iter().filter(|edit| edit.hook != done).cloned().collect();
        let common = edits.len();
        for (sequence, variant) in (0..).zip(variants) {
            for (hook, edit) in variant {
                let edit = Edit { sequence: Some(sequence), ..edit.clone() };
                edits.push(edit.bind_to(&self.model.config, *hook, tokens.len())?);
            }
        }
        for edit in &edits[common..] {
            self.write_operand(edit)?;
        }
        let rows = (0..variants.len() as u32).flat_map(|sequence| rows(tokens, sequence)).collect();
        // What follows the last token is not asked for.
        let next = tokens[1..].iter().chain(&tokens[..1]).copied();
        let targets = next.collect::<Vec<u32>>().repeat(variants.len());
        Ok(Batch { caches: caches.to_vec(), rows, targets, edits, common })
    }

    async fn run_batch(
        &mut self,
        batch: &Batch,
        tokens: usize,
        first: usize,
        stream: &[f32],
        outcome: Outcome,
    ) -> Result<Vec<Vec<f32>>> {
        let (width, vocab) = (self.model.config.width, self.model.config.vocab);
        let stream = stream.repeat(batch.rows.len() / tokens);
        let mut found = Vec::new();
        let mut start = 0;
        for rows in batch.rows.chunks(self.chunk) {
            let x = Tensor::persistent(rows.len(), width);
            self.engine.create_tensor(&x)?;
            self.engine.write_tensor(&x, &stream[start * width..][..rows.len() * width])?;
            self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
            let targets = &batch.targets[start..][..rows.len()];
            self.engine.write(self.targets, 0, bytemuck::cast_slice(targets))?;
            start += rows.len();
            let ends = |row: &Row| row.position as usize + 1 == tokens;
            let last: Vec<u32> = (0..).zip(rows).filter(|(_, r)| ends(r)).map(|(i, _)| i).collect();
            let index = BufferId::fresh();
            self.engine.create(index, 4 * last.len().max(1) as u64)?;
            self.engine.write(index, 0, bytemuck::cast_slice(&last))?;
            let out = match outcome {
                Outcome::Logits => Tensor::persistent(last.len(), vocab),
                Outcome::Logprobs => Tensor::persistent(0, 0),
            };
            if out.rows > 0 {
                self.engine.create_tensor(&out)?;
            }
            let (selection, edits) = (&self.selection, &batch.edits);
            let mut tape =
                Tape::with_edits(selection, &[], edits, self.rows, extent(rows) as usize);
            let normed = resume(&mut tape, &self.model, &batch.caches, self.rows, x, first)?;
            let range = match outcome {
                Outcome::Logits if last.is_empty() => None,
                Outcome::Logits => {
                    let index = (last.len() < rows.len()).then_some(index);
                    logits(&mut tape, &self.model, normed, index, out)?;
                    Some(out.range())
                }
                Outcome::Logprobs => {
                    let all = tape.tensor(rows.len(), vocab);
                    logits(&mut tape, &self.model, normed, None, all)?;
                    let (targets, out) = (self.targets, self.log_probs);
                    tape.push(LogProb { logits: all, targets, out })?;
                    Some((self.log_probs, 0, 4 * rows.len() as u64))
                }
            };
            let (recording, marks) = tape.finish();
            let pieces = pieces(&self.model.config, &self.selection, rows.len());
            let staged = Staged::prepare(&mut self.engine, &recording, &marks, pieces)?;
            let ranges: Vec<_> = range.into_iter().collect();
            let ran = self.run(&staged, rows, &ranges).await;
            staged.free(&mut self.engine);
            let bytes = match ran? {
                Some(readback) => self.engine.finish(readback).await?,
                None => Vec::new(),
            };
            match outcome {
                Outcome::Logits => {
                    found.extend(out.values(&bytes).chunks(vocab).map(<[f32]>::to_vec));
                }
                Outcome::Logprobs => {
                    for (row, logprob) in
                        rows.iter().zip(bytemuck::pod_collect_to_vec::<u8, f32>(&bytes))
                    {
                        if row.position == 0 {
                            found.push(Vec::with_capacity(tokens - 1));
                        }
                        if let Some(own) = found.last_mut().filter(|_| !ends(row)) {
                            own.push(logprob);
                        }
                    }
                }
            }
            [x.buffer, out.buffer, index].into_iter().for_each(|buffer| self.engine.free(buffer));
        }
        Ok(found)
    }

    /// The logits of values of the residual stream after the last layer, (N, C) to (N, V): the final
    /// norm, with its statistics computed from them, and the head.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device fails.
    pub(crate) async fn unembed(&mut self, stream: &[f32]) -> Result<Vec<f32>> {
        let (width, vocab) = (self.model.config.width, self.model.config.vocab);
        let mut found = Vec::with_capacity(stream.len() / width * vocab);
        for part in stream.chunks(self.chunk * width) {
            let x = Tensor::persistent(part.len() / width, width);
            let out = Tensor::persistent(x.rows, vocab);
            self.engine.create_tensor(&x)?;
            self.engine.create_tensor(&out)?;
            self.engine.write_tensor(&x, part)?;
            let mut tape = Tape::new(&self.selection);
            self.record_head(&mut tape, x, out)?;
            let (recording, _) = tape.finish();
            let pieces = pieces(&self.model.config, &self.selection, x.rows);
            let pieces = self.engine.prepare(&recording)?.in_pieces(pieces);
            if let Some(readback) = self.engine.submit_pieces(&pieces, 1, &[out.range()])? {
                found.extend(out.values(&self.engine.finish(readback).await?));
            }
            [x.buffer, out.buffer].into_iter().for_each(|buffer| self.engine.free(buffer));
        }
        Ok(found)
    }

    /// The final norm, with its statistics computed from x, and the head.
    pub(super) fn record_head(&self, tape: &mut Tape<'_>, x: Tensor, out: Tensor) -> Result<()> {
        let (model, caches, rows) = (&self.model, &self.caches[..], self.rows);
        let normed = Pass { tape, model, rows, caches }.norm(&model.final_norm, x)?;
        logits(tape, model, normed, None, out)
    }
}
