//! Training a tokenizer: from texts to a vocabulary and ordered merges.
//!
//! This is a separate function from encoding: it reads a corpus once and returns the list of merges
//! that [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode) then applies, in order, to any
//! text. Pieces are cut by GPT-2's pattern, without a space before the text. A stretch without a
//! blank or a sign, such as DNA or a long line of Japanese, is one piece however long it is, up to
//! the 64 MB at which files are cut; the time to learn from it grows about as its length.
//!
//! Each merge joins the most frequent pair of neighboring tokens, counted over all pieces that the
//! pattern cuts; `cccc` has three pairs `c c`. Of equally frequent pairs the one whose left token
//! has the smaller id wins, then the one whose right token has. Ids count up in this order: special
//! tokens, the alphabet by code point, the merges. So the result depends on the texts alone, not on
//! the number of threads.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pattern::Pattern;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::decode::letter;
use super::expression::Expression;
use super::growth::Growth;
use super::merging::Learned;
use super::pieces::{Pieces, without};
use super::pipeline::IDS;
use super::splitting::GPT2;
use crate::error::{Error, Result};

/// What to train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Training {
    /// The kind of tokens.
    pub kind: Kind,
    /// Names of special tokens, which get the first ids, in this order. No merge is learned across
    /// one in a text.
    pub special: Vec<String>,
}

/// Which tokens the tokenizer has, apart from special ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The 256 bytes, and merges up to a number of tokens, or until no pair is left.
    Merges {
        /// The number of all tokens, special ones included.
        vocab_size: usize,
        /// The least number of times that a pair must occur to be merged.
        min_frequency: u64,
    },
    /// Only the 256 bytes.
    Bytes,
    /// The characters of the texts; no others can be encoded.
    Characters,
}

/// How far learning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learning {
    /// So many bytes have been read.
    Read(u64),
    /// There are so many tokens, of the number that was asked for.
    Merged(usize),
}

/// About how many bytes are read at once.
const PIECE: usize = 1 << 20;

/// Trains a tokenizer on text files; returns the text of its tokenizer.json. `progress` hears how far
/// it is.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::File`] for one that is not UTF-8, with
/// the offset; [`Error::Input`] for a vocabulary too small for its alphabet, or a special token
/// that is empty, duplicate or contains white space.
pub fn train(
    files: &[PathBuf],
    training: &Training,
    progress: &mut dyn FnMut(Learning),
) -> Result<String> {
    check(training)?;
    let mut failure = None;
    let read = &mut |bytes| progress(Learning::Read(bytes));
    let pieces = Pieces::new(files, PIECE, &training.special, &mut failure, read);
    let material = Material::of(pieces, training)?;
    match failure {
        Some(error) => Err(error),
        None => material.learn(training, progress),
    }
}

/// Trains a tokenizer on a text in memory; returns the text of its tokenizer.json.
///
/// # Errors
/// [`Error::Input`] as [`train`].
pub fn train_text(text: &str, training: &Training) -> Result<String> {
    check(training)?;
    let texts = without(text.to_owned(), &training.special);
    Material::of(texts.into_iter(), training)?.learn(training, &mut |_| {})
}

/// What is kept of the texts.
enum Material {
    Nothing,
    Characters(BTreeSet<char>),
    /// The pieces that the pattern cuts, and how often each occurs.
    Words(HashMap<String, u64>),
}

impl Material {
    fn of(texts: impl Iterator<Item = String>, training: &Training) -> Result<Self> {
        match training.kind {
            Kind::Bytes => Ok(Self::Nothing),
            Kind::Characters => {
                let mut all = BTreeSet::new();
                texts.for_each(|text| all.extend(text.chars()));
                Ok(Self::Characters(all))
            }
            Kind::Merges { .. } => count(texts).map(Self::Words).map_err(fail),
        }
    }

    fn learn(&self, training: &Training, progress: &mut dyn FnMut(Learning)) -> Result<String> {
        let special = training.special.iter().cloned();
        // The alphabet is sorted by its characters, not by the bytes that they stand for.
        let alphabet: BTreeSet<char> = (0..=u8::MAX).map(letter).collect();
        let mut learned = Learned::new(special.chain(alphabet.into_iter().map(String::from)));
        match (self, training.kind) {
            (Self::Characters(all), _) => return Ok(characters(all, &training.special)),
            (Self::Words(words), Kind::Merges { vocab_size, min_frequency }) => {
                let spelled = |byte| letter(byte).to_string();
                let merged = |tokens| progress(Learning::Merged(tokens));
                learned.learn(words, spelled, vocab_size, min_frequency, merged)?;
            }
            _ => {}
        }
        byte_level(learned, &training.special).map_err(fail)
    }
}

fn fail(error: tokenizers::Error) -> Error {
    Error::Input(format!("learning failed: {error}"))
}

/// How often each piece occurs.
fn count(texts: impl Iterator<Item = String>) -> tokenizers::Result<HashMap<String, u64>> {
    let pattern = Expression::new(GPT2)?;
    let mut counts: HashMap<String, u64> = HashMap::new();
    for text in texts {
        for ((start, end), _) in pattern.within(&Growth::of(text.len())).find_matches(&text)? {
            let piece = &text[start..end];
            match counts.get_mut(piece) {
                Some(count) => *count += 1,
                None => {
                    counts.insert(piece.to_owned(), 1);
                }
            }
        }
    }
    Ok(counts)
}

fn check(Training { kind, special }: &Training) -> Result<()> {
    for (i, name) in special.iter().enumerate() {
        let reason = if name.is_empty() {
            "is empty"
        } else if name.contains(char::is_whitespace) {
            "has white space in it"
        } else if special[..i].contains(name) {
            "is given twice"
        } else {
            continue;
        };
        return Err(Error::Input(format!("the special token {name:?} {reason}")));
    }
    let least = 256 + special.len();
    match kind {
        Kind::Merges { vocab_size, .. } if *vocab_size < least => Err(Error::Input(format!(
            "a vocabulary of {vocab_size} is too small; it needs at least {least}"
        ))),
        Kind::Merges { vocab_size, .. } if *vocab_size > IDS => Err(Error::Input(format!(
            "a vocabulary of {vocab_size} is too large; the most is {IDS}"
        ))),
        _ => Ok(()),
    }
}

/// The file of a byte-level BPE with GPT-2's pattern.
fn byte_level(learned: Learned, special: &[String]) -> tokenizers::Result<String> {
    let vocab: Vocab = learned.tokens.into_iter().zip(0..).collect();
    let mut chain = Tokenizer::new(BPE::builder().vocab_and_merges(vocab, learned.merges).build()?);
    let byte_level = ByteLevel::new(false, true, true);
    chain.with_pre_tokenizer(Some(byte_level));
    chain.with_decoder(Some(byte_level));
    let special = special.iter().map(|name| AddedToken::from(name.clone(), true));
    let special: Vec<AddedToken> = special.map(|token| token.normalized(false)).collect();
    chain.add_special_tokens(&special);
    chain.to_string(true)
}

/// Characters use the same model, without merges.
fn characters(all: &BTreeSet<char>, special: &[String]) -> String {
    let characters = all.iter().map(char::to_string);
    let tokens = special.iter().cloned().chain(characters).zip(0_u32..);
    let vocab: serde_json::Map<String, Value> =
        tokens.map(|(token, id)| (token, id.into())).collect();
    let added: Vec<Value> = special
        .iter()
        .zip(0_u32..)
        .map(|(name, id)| {
            json!({
                "id": id, "content": name, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true
            })
        })
        .collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": { "type": "Fuse" },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] }
    });
    format!("{file:#}")
}

#[cfg(test)]
#[path = "tests/train.rs"]
mod tests;
