//! Training data: tokens, and the batches that a step or an evaluation takes from them.

use std::ops::Range;

use crate::checkpoint::Hash;
use crate::error::{Error, Result};
use crate::noise::noise;

use super::options::TrainOptions;
use super::tokens::{IGNORED, Tokens};
use super::trainer::Batch;

/// Tokens to learn from, and validation tokens, which are never learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The training tokens.
    pub train: Tokens,
    /// The validation tokens.
    pub valid: Tokens,
}

/// Windows are drawn with other noise than dropout under the same seed.
const WINDOWS: u64 = 0x7769_6e64_6f77_7321;

impl Data {
    /// The usual share of the tokens that are kept for validation.
    pub const VALIDATION_SHARE: f64 = 0.1;

    /// Keeps about this share of the tokens, the last ones, for validation.
    ///
    /// # Errors
    /// [`Error::Input`] for a share outside 0 to 1.
    pub fn split(tokens: impl Into<Tokens>, share: f64) -> Result<Self> {
        let mut tokens = tokens.into();
        if !(0.0..1.0).contains(&share) {
            return Err(Error::Input(format!(
                "the share of the data for validation must be from 0 to below 1, got {share}"
            )));
        }
        let first = tokens.len() - (tokens.len() as f64 * share).round() as usize;
        let valid = tokens.split_off(first);
        Ok(Self { train: tokens, valid })
    }

    /// A hash of the tokens and of what is known about them, in hexadecimal: a resumed run must use the
    /// same ones.
    pub fn fingerprint(&self) -> String {
        let mut hash = Hash::default();
        [&self.train, &self.valid].into_iter().for_each(|tokens| tokens.hash(&mut hash));
        format!("{:016x}", hash.value())
    }

    /// Fails for fewer tokens than one sequence needs, for conversations in which nothing is to be
    /// learned, and for ids that the model does not have.
    ///
    /// # Errors
    /// [`Error::Input`], saying which and how many.
    pub fn check(&self, context: usize, vocab: usize) -> Result<()> {
        for (name, tokens) in [("training", &self.train), ("validation", &self.valid)] {
            let apart = !tokens.documents.is_empty();
            if apart && tokens.windows(context).is_empty() {
                return Err(Error::Input(format!(
                    "the {name} data has no answer within a context of {context} to learn from"
                )));
            }
            let optional = tokens.is_empty() && name == "validation";
            if !apart && !optional && tokens.len() <= context {
                return Err(Error::Input(format!(
                    "{} tokens of {name} data are too few for a context of {context}, which takes {}; \
                     give more text or a shorter context",
                    tokens.len(),
                    context + 1
                )));
            }
            if let Some(id) = tokens.ids.iter().find(|id| **id as usize >= vocab) {
                return Err(Error::Input(format!(
                    "the {name} data holds token {id}, but the model's vocabulary has {vocab}: its \
                     tokenizer is another"
                )));
            }
        }
        Ok(())
    }

    /// The batches of a step: windows of the training tokens that depend only on the seed and the
    /// step. Where documents are read one at a time, a window is a part of one.
    pub fn batches(&self, options: &TrainOptions, step: u64, count: usize) -> Vec<Batch> {
        let &TrainOptions { batch, context, seed, .. } = options;
        let windows = self.train.windows(context);
        let whole = self.train.documents.is_empty();
        // A window starts anywhere that `context` tokens and one more follow.
        let all = if whole { self.train.len().saturating_sub(context) } else { windows.len() };
        let window = |index: usize| {
            let draw = noise(seed ^ WINDOWS, index as u32, step as u32, (step >> 32) as u32);
            let drawn = ((u64::from(draw) * all as u64) >> 32) as usize;
            let anywhere = || drawn..(drawn + context + 1).min(self.train.len());
            if whole { anywhere() } else { windows.get(drawn).cloned().unwrap_or(0..0) }
        };
        let batches = (0..count).map(|i| (i * batch..(i + 1) * batch).map(window));
        batches.map(|windows| Batch::from_windows(&self.train, windows, options)).collect()
    }

    /// The validation tokens in order, each that is to be predicted a target once except the first of a
    /// text; at most `most` batches, spread evenly.
    pub fn validation(&self, options: &TrainOptions, most: usize) -> Vec<Batch> {
        let &TrainOptions { batch, context, .. } = options;
        let windows = if self.valid.documents.is_empty() {
            let starts = (0..self.valid.len().saturating_sub(1)).step_by(context);
            starts.map(|start| start..(start + context + 1).min(self.valid.len())).collect()
        } else {
            self.valid.windows(context)
        };
        let all: Vec<&[Range<usize>]> = windows.chunks(batch).collect();
        let count = all.len().min(most);
        let chosen = (0..count).map(|i| all[i * all.len() / count]);
        let batch = |windows: &[Range<usize>]| {
            Batch::from_windows(&self.valid, windows.iter().cloned(), options)
        };
        chosen.map(batch).collect()
    }
}

impl Batch {
    /// A batch of windows, each one token longer than the inputs it gives; what is missing at the end
    /// of a window, or of whole windows, is padding that teaches nothing.
    pub fn of<'a>(windows: impl Iterator<Item = &'a [u32]>, options: &TrainOptions) -> Self {
        let &TrainOptions { batch, context, .. } = options;
        let mut tokens = vec![0; batch * context];
        let mut targets = vec![IGNORED; batch * context];
        let rows = tokens.chunks_mut(context).zip(targets.chunks_mut(context));
        for ((tokens, targets), window) in rows.zip(windows) {
            let inputs = window.split_last().map_or(&[][..], |(_, inputs)| inputs);
            let count = inputs.len().min(context);
            tokens[..count].copy_from_slice(&inputs[..count]);
            targets[..count].copy_from_slice(&window[1..][..count]);
        }
        Self { tokens, targets }
    }

    /// The same from places in the tokens; those that are only read are no targets.
    fn from_windows(
        tokens: &Tokens,
        windows: impl Iterator<Item = Range<usize>>,
        options: &TrainOptions,
    ) -> Self {
        let windows: Vec<Range<usize>> = windows.collect();
        let ids = windows.iter().map(|window| &tokens.ids[window.clone()]);
        let mut batch = Self::of(ids, options);
        let rows = batch.targets.chunks_mut(options.context);
        for (row, window) in rows.zip(&windows) {
            // The target of a row is the token after it.
            let first = window.start + 1;
            for given in tokens.given_in(window) {
                let (start, end) = (given.start.max(first) - first, given.end.max(first) - first);
                let end = end.min(row.len());
                row[start.min(end)..end].fill(IGNORED);
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    const OPTIONS: TrainOptions = TrainOptions {
        batch: 3,
        context: 4,
        optimizer: super::super::Optimizer::Sgd,
        clip: 0.0,
        dropout: 0.0,
        seed: 5,
        mixed: false,
    };

    #[test]
    fn batches_are_windows_that_depend_on_seed_and_step_alone() {
        let data = Data { train: (0..50).collect(), ..Data::default() };
        let batches = data.batches(&OPTIONS, 7, 2);
        assert_eq!(batches, data.clone().batches(&OPTIONS, 7, 2));
        assert_ne!(batches, data.batches(&OPTIONS, 8, 2));
        assert_ne!(batches[0], batches[1]);
        assert_ne!(batches, data.batches(&TrainOptions { seed: 6, ..OPTIONS }, 7, 2));
        for batch in batches {
            assert_eq!(batch.tokens.len(), 12);
            for row in batch.tokens.chunks(4) {
                assert!(row.windows(2).all(|pair| pair[1] == pair[0] + 1));
            }
            assert!(batch.tokens.iter().zip(&batch.targets).all(|(a, b)| a + 1 == *b));
        }
    }

    /// Every window is drawn, including the last one.
    #[test]
    fn every_token_is_learned() {
        let data = Data { train: (0..6).collect(), ..Data::default() };
        let mut seen = [false; 6];
        for step in 0..40 {
            for batch in data.batches(&OPTIONS, step, 1) {
                batch.targets.iter().for_each(|target| seen[*target as usize] = true);
            }
        }
        assert_eq!(seen, [false, true, true, true, true, true]);
    }

    #[test]
    fn validation_counts_every_token_once() {
        let data = Data { valid: (0..31).collect(), ..Data::default() };
        let batches = data.validation(&OPTIONS, usize::MAX);
        let mut targets: Vec<u32> = batches.iter().flat_map(|b| b.targets.clone()).collect();
        assert_eq!(batches.len(), 3);
        targets.retain(|target| *target != IGNORED);
        assert_eq!(targets, (1..31).collect::<Vec<_>>());
        assert_eq!(data.validation(&OPTIONS, 2), [batches[0].clone(), batches[1].clone()]);
    }

    #[test]
    fn the_last_tokens_are_kept_for_validation() {
        let data = Data::split((0..10).collect::<Tokens>(), 0.2).unwrap();
        assert_eq!((data.train.len(), &data.valid.ids[..]), (8, &[8, 9][..]));
        assert!(data.check(1, 10).is_ok());
        for (context, vocab) in [(2, 10), (8, 10), (1, 9), (1, 5)] {
            assert!(data.check(context, vocab).is_err());
        }
        assert!(Data::split(vec![1], 1.0).is_err());
    }

    /// Of a conversation only the answers are targets, and each is read from its start.
    #[test]
    fn what_is_given_is_read_and_not_learned() {
        let talk = Tokens {
            ids: (10..22).collect(),
            given: vec![0..3, 5..6, 7..10],
            documents: vec![0, 7],
        };
        let data = Data { train: talk.clone(), valid: talk };
        let rows = |batches: &[Batch]| {
            let rows = batches.iter().flat_map(|b| b.tokens.chunks(4).zip(b.targets.chunks(4)));
            rows.map(|(tokens, targets)| (tokens.to_vec(), targets.to_vec())).collect::<Vec<_>>()
        };
        let no = IGNORED;
        let golden = [
            (vec![10, 11, 12, 13], vec![no, no, 13, 14]),
            (vec![14, 15, 0, 0], vec![no, 16, no, no]),
            (vec![17, 18, 19, 20], vec![no, no, 20, 21]),
        ];
        assert_eq!(rows(&data.validation(&OPTIONS, usize::MAX)), golden);
        let drawn = rows(&(0..20).flat_map(|i| data.batches(&OPTIONS, i, 1)).collect::<Vec<_>>());
        assert!(drawn.iter().all(|row| golden.contains(row)), "{drawn:?}");
        assert!(golden.iter().all(|row| drawn.contains(row)), "{drawn:?}");
        assert!(data.check(4, 22).is_ok() && data.check(4, 21).is_err());
        let other = Data {
            train: Tokens { given: std::iter::once(0..3).collect(), ..data.train.clone() },
            ..data.clone()
        };
        assert_ne!(other.fingerprint(), data.fingerprint());
        let none = Tokens { given: std::iter::once(0..12).collect(), ..data.train };
        let error = Data { train: none, ..Data::default() }.check(4, 22).unwrap_err().to_string();
        assert!(error.contains("no answer"), "{error}");
    }
}
