//! Variants of one text, many at a time, each from the layer and the position on in which it differs;
//! and what any value of the residual stream would say.

use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::hook::Hook;
use crate::model::blocks::Pass;
use crate::model::bound::Bound;
use crate::model::edit::Edit;
use crate::model::forward::{layer, logits};
use crate::model::memory::{create_cache, pieces};
use crate::model::rows::Rows;
use crate::model::tape::Tape;
use crate::model::weights::Model;
use crate::ops::{Cache, LogProb};

use super::batch::{Batch, RowSlice, Variant, VariantOutcome, batches};
use super::rows::{Row, extent, rows};
use super::staged::Staged;
use super::state::Session;

/// What a run of a text leaves for its variants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    /// What each layer reads, (T, C).
    pub(crate) streams: Vec<Vec<f32>>,
    /// Keys and values of each layer, (K, T, D) as the cache stores them.
    pub(crate) cached: Vec<[Vec<u8>; 2]>,
}

impl Session {
    /// Keys and values of the first positions of the first sequence in each layer.
    ///
    /// # Errors
    /// As [`Session::read_cache`].
    pub(crate) async fn cached(&mut self, positions: usize) -> Result<Vec<[Vec<u8>; 2]>> {
        let mut cached = Vec::with_capacity(self.caches.len());
        for layer in 0..self.caches.len() {
            cached.push(self.read_cache(layer, positions).await?);
        }
        Ok(cached)
    }

    /// Runs variants of a text, which left `trace`. Each variant's edits act in the layers, besides
    /// those that the session has set. `each` gets a variant's number and what was asked for of it,
    /// in any order. The caches stay as they are.
    ///
    /// # Errors
    /// As [`Session::observe`].
    pub(crate) async fn run_variants(
        &mut self,
        tokens: &[u32],
        trace: &Trace,
        variants: &[Vec<(Hook, Edit)>],
        outcome: VariantOutcome,
        each: &mut impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        self.check(&rows(tokens, 0))?;
        let sizes = [self.model.config.layers, tokens.len()];
        let placed = variants.iter().enumerate();
        let mut variants: Vec<_> =
            placed.map(|variant| Variant::new(variant, sizes, outcome)).collect();
        variants.sort_by_key(|variant| variant.layer);
        let batches = batches(&variants, tokens.len(), self.chunk);
        let most = batches.iter().map(|batch| batch.len()).max().unwrap_or(0);
        let caches = self.caches_of([most, tokens.len()]);
        let done = self.run_batches(&caches, tokens, trace, &batches, outcome, each).await;
        for part in caches.iter().flat_map(|cache| &cache.shards) {
            self.engine.free(part.k);
            self.engine.free(part.v);
        }
        done
    }

    /// Caches of so many sequences and positions, which are not created.
    fn caches_of(&self, [sequences, context]: [usize; 2]) -> Vec<Cache> {
        let limit = self.engine.gpu().caps().max_buffer_bytes();
        let named = |own: &Cache| {
            Cache::named(own.format, [sequences, context], [own.heads, own.width], limit)
        };
        self.caches.iter().map(named).collect()
    }

    async fn run_batches(
        &mut self,
        caches: &[Cache],
        tokens: &[u32],
        trace: &Trace,
        batches: &[&[Variant<'_>]],
        outcome: VariantOutcome,
        each: &mut impl FnMut(usize, &[f32]),
    ) -> Result<()> {
        // The layers before the first that runs need none.
        let first = batches.first().map_or(caches.len(), |batch| batch[0].layer);
        for cache in &caches[first..] {
            create_cache(&mut self.engine, cache)?;
        }
        for variants in batches {
            if variants.iter().any(|variant| variant.position > 0) {
                let first = variants[0].layer;
                for (cache, known) in caches.iter().zip(&trace.cached).skip(first) {
                    self.spread(cache, known)?;
                }
            }
            let batch = self.batch(tokens, trace, variants)?;
            let found = self.run_batch(&batch, caches, tokens.len(), outcome).await;
            self.free_operands(&batch.edits[batch.common..]);
            for (variant, found) in variants.iter().zip(found?) {
                each(variant.number, &found);
            }
        }
        Ok(())
    }

    /// Writes the same keys and values, (K, T, D), to every sequence of a cache.
    fn spread(&self, cache: &Cache, known: &[Vec<u8>; 2]) -> Result<()> {
        let row = cache.position_bytes() as usize / (cache.sequences * cache.heads);
        for part in &cache.shards {
            for (buffer, known) in [part.k, part.v].into_iter().zip(known) {
                let of_head = |head: usize| {
                    &known[(head * cache.context + part.first) * row..][..part.count * row]
                };
                let one = (0..cache.heads).map(of_head).collect::<Vec<_>>().concat();
                self.engine.write(buffer, 0, &one.repeat(cache.sequences))?;
            }
        }
        Ok(())
    }

    fn batch(&self, tokens: &[u32], trace: &Trace, variants: &[Variant<'_>]) -> Result<Batch> {
        let config = &self.model.config;
        let edits = self.common_edits(variants);
        let mut batch = Batch {
            rows: Vec::new(),
            stream: Vec::new(),
            targets: Vec::new(),
            joined: vec![0; config.layers],
            common: edits.len(),
            edits,
        };
        for (sequence, variant) in (0..).zip(variants) {
            let &Variant { edits, layer, position, .. } = variant;
            for (hook, edit) in edits {
                let edit = Edit { sequence: Some(sequence), ..edit.clone() };
                batch.edits.push(edit.bind_to(config, *hook, tokens.len())?);
            }
            batch.rows.extend(&rows(tokens, sequence)[position..]);
            batch.stream.extend(&trace.streams[layer][position * config.width..]);
            // What follows the last token is not asked for.
            batch.targets.extend(tokens[1..].iter().chain(&tokens[..1]).skip(position));
            batch.joined[layer..].fill(batch.rows.len());
        }
        Ok(batch)
    }

    /// The session's edits of the text, its first sequence, in every sequence of a batch. Those of the
    /// stream that a variant's first layer reads are done.
    fn common_edits(&self, variants: &[Variant<'_>]) -> Vec<Bound> {
        let mut edits = Vec::new();
        let mut add = |edit: &Bound, sequence| {
            let mut own = edit.clone();
            own.sequence = sequence;
            edits.push(own);
        };
        for edit in self.edits.iter().filter(|edit| edit.sequence.is_none_or(|own| own == 0)) {
            let begins = |variant: &Variant<'_>| edit.hook == Hook::ResidPre(variant.layer);
            if !variants.iter().any(begins) {
                add(edit, None);
                continue;
            }
            let others = (0..).zip(variants).filter(|(_, variant)| !begins(variant));
            others.for_each(|(sequence, _)| add(edit, Some(sequence)));
        }
        edits
    }

    /// What was asked for of each sequence of a batch.
    async fn run_batch(
        &mut self,
        batch: &Batch,
        caches: &[Cache],
        tokens: usize,
        outcome: VariantOutcome,
    ) -> Result<Vec<Vec<f32>>> {
        for edit in &batch.edits[batch.common..] {
            self.write_operand(edit)?;
        }
        let width = self.model.config.width;
        let sequences = batch.rows.last().map_or(0, |row| row.sequence as usize + 1);
        let mut found = vec![Vec::new(); sequences];
        for start in (0..batch.rows.len()).step_by(self.chunk) {
            let slice = batch.slice(start, self.chunk, width);
            // The rows that end a sequence.
            let ends = |row: &Row| row.position as usize + 1 == tokens;
            let last = (0..).zip(slice.rows).filter(|(_, row)| ends(row)).map(|(at, _)| at);
            let last: Vec<u32> = last.collect();
            let values = self.run_rows(&slice, &batch.edits, caches, &last, outcome).await?;
            match outcome {
                VariantOutcome::Logits => {
                    for (at, logits) in last.iter().zip(values.chunks(self.model.config.vocab)) {
                        found[slice.rows[*at as usize].sequence as usize] = logits.to_vec();
                    }
                }
                VariantOutcome::Logprobs => {
                    let own = slice.rows.iter().zip(values).filter(|(row, _)| !ends(row));
                    for (row, logprob) in own {
                        found[row.sequence as usize].push(logprob);
                    }
                }
            }
        }
        Ok(found)
    }

    /// Runs rows; gives the logits of those in `last`, or the log-probability of each row's target.
    async fn run_rows(
        &mut self,
        slice: &RowSlice<'_>,
        edits: &[Bound],
        caches: &[Cache],
        last: &[u32],
        outcome: VariantOutcome,
    ) -> Result<Vec<f32>> {
        let (width, vocab) = (self.model.config.width, self.model.config.vocab);
        let x = Tensor::persistent(slice.rows.len(), width);
        let out = match outcome {
            VariantOutcome::Logits => Tensor::persistent(last.len(), vocab),
            VariantOutcome::Logprobs => Tensor::persistent(0, 0),
        };
        let index = BufferId::fresh();
        let found = self.submit_rows(slice, edits, caches, (x, out), (index, last), outcome).await;
        [x.buffer, out.buffer, index].into_iter().for_each(|buffer| self.engine.free(buffer));
        found
    }

    async fn submit_rows(
        &mut self,
        slice: &RowSlice<'_>,
        edits: &[Bound],
        caches: &[Cache],
        (x, out): (Tensor, Tensor),
        (index, last): (BufferId, &[u32]),
        outcome: VariantOutcome,
    ) -> Result<Vec<f32>> {
        let rows = slice.rows;
        self.engine.create_tensor(&x)?;
        self.engine.write_tensor(&x, slice.stream)?;
        self.engine.create_tensor(&out)?;
        self.engine.create(index, 4 * last.len() as u64)?;
        self.engine.write(index, 0, bytemuck::cast_slice(last))?;
        self.engine.write(self.rows, 0, bytemuck::cast_slice(rows))?;
        self.engine.write(self.targets, 0, bytemuck::cast_slice(slice.targets))?;
        let keys = extent(rows) as usize;
        let mut tape = Tape::with_edits(&self.selection, &[], edits, self.rows, keys);
        let of = Rows { buffer: self.rows, count: rows.len() };
        let normed = resume(&mut tape, &self.model, caches, of, x, &slice.joined)?;
        let range = match outcome {
            VariantOutcome::Logits if last.is_empty() => None,
            VariantOutcome::Logits => {
                let index = (last.len() < rows.len()).then_some(index);
                logits(&mut tape, &self.model, normed, index, out)?;
                Some(out.range())
            }
            VariantOutcome::Logprobs => {
                let all = tape.tensor(rows.len(), self.model.config.vocab);
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
        let Some(readback) = ran? else { return Ok(Vec::new()) };
        let bytes = self.engine.finish(readback).await?;
        Ok(match outcome {
            VariantOutcome::Logits => out.values(&bytes),
            VariantOutcome::Logprobs => bytemuck::pod_collect_to_vec(&bytes),
        })
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
        let (model, caches) = (&self.model, &self.caches[..]);
        let rows = Rows { buffer: self.rows, count: x.rows };
        let normed = Pass { tape, model, rows, caches }.norm(&model.final_norm, x)?;
        logits(tape, model, normed, None, out)
    }
}

/// Records the stream after the final norm of rows that begin in later layers, where their stream x,
/// (T, C), is known. `joined` says how many rows take part in each layer: always the first ones, and
/// in no layer fewer than in the one before.
fn resume(
    tape: &mut Tape<'_>,
    model: &Model,
    caches: &[Cache],
    rows: Rows,
    x: Tensor,
    joined: &[usize],
) -> Result<Tensor> {
    let mut pass = Pass { tape, model, rows, caches };
    for (block, &count) in model.blocks.iter().zip(joined).filter(|(_, count)| **count > 0) {
        layer(&mut pass, block, Tensor { rows: count, ..x })?;
    }
    pass.norm(&model.final_norm, x)
}
