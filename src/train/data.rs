//! Training data: tokens, and the batches that a step or an evaluation takes from them.

use std::path::Path;

use crate::checkpoint::Hash;
use crate::error::{Error, Result};
use crate::files;
use crate::noise::noise;
use crate::reference::backward::IGNORED;

use super::options::TrainOptions;
use super::trainer::Batch;

/// Tokens to learn from, and validation tokens, which are never learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// The training tokens.
    pub train: Vec<u32>,
    /// The validation tokens.
    pub valid: Vec<u32>,
}

/// Windows are drawn with other noise than dropout under the same seed.
const WINDOWS: u64 = 0x7769_6e64_6f77_7321;

impl Data {
    /// Keeps this share of the tokens, the last ones, for validation.
    ///
    /// # Errors
    /// [`Error::Input`] for a share outside 0 to 1.
    pub fn split(mut tokens: Vec<u32>, share: f64) -> Result<Self> {
        if !(0.0..1.0).contains(&share) {
            return Err(Error::Input(format!(
                "the share of the data for validation must be from 0 to below 1, got {share}"
            )));
        }
        let first = tokens.len() - (tokens.len() as f64 * share).round() as usize;
        let valid = tokens.split_off(first);
        Ok(Self { train: tokens, valid })
    }

    /// A hash of the tokens, in hexadecimal: a resumed run must use the same ones.
    pub fn fingerprint(&self) -> String {
        let mut hash = Hash::default();
        for tokens in [&self.train, &self.valid] {
            hash.add(&(tokens.len() as u64).to_le_bytes());
            hash.add(bytemuck::cast_slice(tokens));
        }
        format!("{:016x}", hash.value())
    }

    /// Fails for fewer tokens than one sequence needs, and for ids that the model does not have.
    ///
    /// # Errors
    /// [`Error::Input`], saying which and how many.
    pub fn check(&self, context: usize, vocab: usize) -> Result<()> {
        for (name, tokens) in [("training", &self.train), ("validation", &self.valid)] {
            if !(tokens.is_empty() && name == "validation") && tokens.len() <= context {
                return Err(Error::Input(format!(
                    "{} tokens of {name} data are too few for a context of {context}, which takes {}; \
                     give more text or a shorter context",
                    tokens.len(),
                    context + 1
                )));
            }
            if let Some(id) = tokens.iter().find(|id| **id as usize >= vocab) {
                return Err(Error::Input(format!(
                    "the {name} data holds token {id}, but the model's vocabulary has {vocab}: its \
                     tokenizer is another"
                )));
            }
        }
        Ok(())
    }

    /// The batches of a step: windows of the training tokens that depend only on the seed and the
    /// step.
    pub fn batches(&self, options: &TrainOptions, step: u64, count: usize) -> Vec<Batch> {
        let &TrainOptions { batch, context, seed, .. } = options;
        // A window starts anywhere that `context` tokens and one more follow.
        let starts = self.train.len().saturating_sub(context) as u64;
        let window = |index: usize| {
            let draw = noise(seed ^ WINDOWS, index as u32, step as u32, (step >> 32) as u32);
            let start = ((u64::from(draw) * starts) >> 32) as usize;
            &self.train[start..(start + context + 1).min(self.train.len())]
        };
        let batches = (0..count).map(|i| (i * batch..(i + 1) * batch).map(window));
        batches.map(|windows| Batch::of(windows, options)).collect()
    }

    /// The validation tokens in order, each a target once except the first; at most `most` batches,
    /// spread evenly.
    pub fn validation(&self, options: &TrainOptions, most: usize) -> Vec<Batch> {
        let &TrainOptions { batch, context, .. } = options;
        let starts = (0..self.valid.len().saturating_sub(1)).step_by(context);
        let windows: Vec<&[u32]> = starts
            .map(|start| &self.valid[start..(start + context + 1).min(self.valid.len())])
            .collect();
        let all: Vec<&[&[u32]]> = windows.chunks(batch).collect();
        let count = all.len().min(most);
        let chosen = (0..count).map(|i| all[i * all.len() / count]);
        chosen.map(|windows| Batch::of(windows.iter().copied(), options)).collect()
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
}

/// The magic numbers of token files, and how many bytes an id takes in each kind.
const HEADERS: [(u32, usize); 2] = [(20_240_520, 2), (20_240_801, 4)];

/// The 32-bit words of such a header.
const HEADER_WORDS: usize = 256;

/// The tokens of a file: 16-bit little-endian ids, or llm.c's format, whose header of 1,024 bytes says
/// how many ids there are and how long they are.
///
/// # Errors
/// [`Error::Io`], and [`Error::File`] where header and length disagree.
pub fn read_tokens(path: &Path) -> Result<Vec<u32>> {
    let bytes = files::read(path)?;
    let word = |at: usize| bytes.get(4 * at..4 * at + 4).map(bytemuck::pod_read_unaligned::<u32>);
    let known = HEADERS.iter().find(|(magic, _)| word(0) == Some(*magic));
    let (ids, size) = match known {
        None => (&bytes[..], 2),
        Some(&(_, size)) => {
            let ids = bytes.get(4 * HEADER_WORDS..);
            let count = word(2).map(|count| count as usize * size);
            match (ids, count) {
                (Some(ids), Some(count)) if ids.len() == count => (ids, size),
                _ => {
                    return Err(Error::file(
                        path,
                        format!(
                            "its header says {} bytes of ids, but it has {} after 1,024: truncated?",
                            count.unwrap_or_default(),
                            bytes.len().saturating_sub(4 * HEADER_WORDS)
                        ),
                    ));
                }
            }
        }
    };
    if ids.len() % size != 0 {
        return Err(Error::file(
            path,
            format!("{} bytes do not divide into ids of {size}", ids.len()),
        ));
    }
    let id = |bytes: &[u8]| bytes.iter().rev().fold(0, |id, byte| id << 8 | u32::from(*byte));
    Ok(ids.chunks_exact(size).map(id).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let data = Data { train: (0..50).collect(), valid: Vec::new() };
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
        let data = Data { train: (0..6).collect(), valid: Vec::new() };
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
        let data = Data { train: Vec::new(), valid: (0..31).collect() };
        let batches = data.validation(&OPTIONS, usize::MAX);
        let mut targets: Vec<u32> = batches.iter().flat_map(|b| b.targets.clone()).collect();
        assert_eq!(batches.len(), 3);
        targets.retain(|target| *target != IGNORED);
        assert_eq!(targets, (1..31).collect::<Vec<_>>());
        assert_eq!(data.validation(&OPTIONS, 2), [batches[0].clone(), batches[1].clone()]);
    }

    #[test]
    fn the_last_tokens_are_kept_for_validation() {
        let data = Data::split((0..10).collect(), 0.2).unwrap();
        assert_eq!((data.train.len(), &data.valid[..]), (8, &[8, 9][..]));
        assert!(data.check(1, 10).is_ok());
        for (context, vocab) in [(2, 10), (8, 10), (1, 9), (1, 5)] {
            assert!(data.check(context, vocab).is_err());
        }
        assert!(Data::split(vec![1], 1.0).is_err());
    }

    #[test]
    fn token_files_of_either_kind() {
        let folder = std::env::temp_dir().join(format!("pellucid-tokens-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("tokens.bin");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_tokens(&path)
        };
        assert_eq!(read(&[1, 0, 2, 1]).unwrap(), [1, 258]);
        assert_eq!(read(&[]).unwrap(), [0; 0]);
        assert!(read(&[1, 0, 2]).is_err());
        for (magic, size) in HEADERS {
            let mut header = [0_u32; HEADER_WORDS];
            header[..3].copy_from_slice(&[magic, 1, 2]);
            let mut bytes = bytemuck::cast_slice(&header).to_vec();
            bytes.extend([7_u32, 300].iter().flat_map(|id| id.to_le_bytes()[..size].to_vec()));
            assert_eq!(read(&bytes).unwrap(), [7, 300]);
            bytes.pop();
            assert!(read(&bytes).unwrap_err().to_string().contains("truncated"));
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
