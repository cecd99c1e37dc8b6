//! Decoding on the reference, for machines without an adapter.

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Bound, Collected};
use crate::ops::UNDRAWN;
use crate::reference::{Cache, Draw, Model, log_softmax, sample, top_k};
use crate::sampling::Sampling;

use super::decode::Step;
use super::watch::Watch;

/// One sequence being continued on the reference.
#[derive(Debug)]
pub(super) struct CpuDecoder {
    cache: Cache,
    next: Vec<u32>,
    counts: Vec<u32>,
    sampling: Sampling,
    logprobs: Option<usize>,
    sequence: u32,
    step: u32,
    most_steps: usize,
    watched: Watched,
    kept: Collected,
}

/// The named values that are changed and kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Watched {
    pub(super) edits: Vec<Bound>,
    pub(super) keep: Vec<Hook>,
}

/// Where a sequence starts: a prompt that is neither empty nor longer than the context.
#[derive(Debug)]
pub(super) struct Start<'a> {
    pub(super) prompt: &'a [u32],
    /// How many of its tokens the cache already holds.
    pub(super) kept: usize,
    pub(super) cache: Cache,
    pub(super) sequence: u32,
    pub(super) watched: Watched,
}

impl CpuDecoder {
    pub(super) fn new(
        model: &Model,
        context: usize,
        start: Start<'_>,
        sampling: &Sampling,
        logprobs: Option<usize>,
    ) -> Result<Self> {
        sampling.check()?;
        let Start { prompt, kept, mut cache, sequence, watched } = start;
        let mut counts = vec![0; model.config.vocab];
        for &token in prompt {
            let count = counts.get_mut(token as usize).ok_or_else(|| {
                Error::Input(format!(
                    "token {token} is outside the vocabulary of {}",
                    model.config.vocab
                ))
            })?;
            *count += 1;
        }
        cache.truncate(kept);
        Ok(Self {
            cache,
            next: prompt[kept..].to_vec(),
            counts,
            sampling: *sampling,
            logprobs,
            sequence,
            step: 0,
            most_steps: context + 1 - prompt.len(),
            watched,
            kept: Collected::default(),
        })
    }

    /// The values that were kept.
    pub(super) fn take_kept(&mut self) -> Collected {
        std::mem::take(&mut self.kept)
    }

    /// The cache, for the next generation.
    pub(super) fn into_cache(self) -> Cache {
        self.cache
    }

    pub(super) fn most_steps(&self) -> usize {
        self.most_steps
    }

    /// Tokens of the prompt, before its last one, that have not been read.
    pub(super) fn unread(&self) -> usize {
        self.next.len().saturating_sub(1)
    }

    pub(super) fn next(&mut self, model: &Model) -> Result<Step> {
        let Watched { edits, keep } = &self.watched;
        let mut watch = Watch::new(edits, keep, self.cache.len());
        let raw = model.forward_last(&mut self.cache, &self.next, &mut watch)?;
        let seen = watch.finish()?;
        if !keep.is_empty() {
            self.kept.add(seen, self.next.len(), self.cache.len());
        }
        if !raw.iter().all(|logit| logit.is_finite()) {
            return Ok(Step { ids: vec![UNDRAWN], top: None });
        }
        let draw = Draw { sequence: self.sequence, step: self.step };
        let id = sample(&raw, &self.counts, &self.sampling, draw);
        self.counts[id as usize] += 1;
        self.next = vec![id];
        self.step += 1;
        let top = self.logprobs.map(|k| {
            let all = log_softmax(&raw, raw.len());
            let best = top_k(&raw, k).into_iter();
            let mut row = vec![(id, all[id as usize] as f32)];
            row.extend(best.map(|(id, logprob)| (id, logprob as f32)));
            vec![row]
        });
        Ok(Step { ids: vec![id], top })
    }
}
