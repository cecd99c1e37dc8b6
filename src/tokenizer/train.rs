//! Training a tokenizer: from texts to a vocabulary and ordered merges.
//!
//! This is a separate function from encoding: it reads a corpus once and returns the list of merges
//! that [`Tokenizer::encode`](crate::tokenizer::Tokenizer::encode) then applies, in order, to any
//! text. The trainer is that of the `tokenizers` crate, with GPT-2's pattern without a space before
//! the text.
//!
//! Each merge joins the most frequent pair of neighbouring tokens, counted over all pieces that the
//! pattern cuts; `cccc` has three pairs `c c`. Of equally frequent pairs the one whose left token
//! has the smaller id wins, then the one whose right token has. Ids count up in this order: special
//! tokens, the alphabet by code point, the merges. So the result depends on the texts alone, not on
//! the number of threads.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::pieces::{Pieces, without};
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

/// About how many bytes are learned from at once.
const PIECE: usize = 1 << 20;

/// Trains a tokenizer on text files; returns the text of its tokenizer.json. `progress` gets the
/// number of bytes read.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::File`] for one that is not UTF-8, with
/// the offset; [`Error::Input`] for a vocabulary too small for its alphabet, or a special token
/// that is empty, duplicate or contains white space.
pub fn train(
    files: &[PathBuf],
    training: &Training,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<String> {
    check(training)?;
    let mut failure = None;
    let pieces = Pieces::new(files, PIECE, &training.special, &mut failure, progress);
    let learned = learn(pieces, training)?;
    match failure {
        Some(error) => Err(error),
        None => Ok(learned),
    }
}

/// Trains a tokenizer on a text in memory; returns the text of its tokenizer.json.
///
/// # Errors
/// [`Error::Input`] as [`train`].
pub fn train_text(text: &str, training: &Training) -> Result<String> {
    check(training)?;
    learn(without(text.to_owned(), &training.special).into_iter(), training)
}

fn learn(texts: impl Iterator<Item = String> + Send, training: &Training) -> Result<String> {
    match training.kind {
        Kind::Characters => Ok(characters(texts, &training.special)),
        Kind::Bytes => merges(std::iter::empty(), training, 0, 0),
        Kind::Merges { vocab_size, min_frequency } => {
            merges(texts, training, vocab_size, min_frequency)
        }
    }
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
            "a vocabulary of {vocab_size} has no room for 256 bytes and {} special tokens; the least is {least}",
            special.len()
        ))),
        _ => Ok(()),
    }
}

/// Byte-level BPE with GPT-2's pattern.
fn merges(
    texts: impl Iterator<Item = String> + Send,
    training: &Training,
    vocab_size: usize,
    min_frequency: u64,
) -> Result<String> {
    let fail = |error: tokenizers::Error| Error::Input(format!("learning failed: {error}"));
    let special = training.special.iter().map(|name| AddedToken::from(name.clone(), true));
    let special: Vec<AddedToken> = special.map(|token| token.normalized(false)).collect();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab_size.max(256 + special.len()))
        .min_frequency(min_frequency)
        .special_tokens(special)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let byte_level = ByteLevel::new(false, true, true);
    let mut chain = Tokenizer::new(BPE::default());
    chain.with_pre_tokenizer(Some(byte_level));
    chain.with_decoder(Some(byte_level));
    chain.train(&mut TrainerWrapper::from(trainer), texts).map_err(fail)?;
    chain.to_string(true).map_err(fail)
}

/// Characters use the same model, without merges.
fn characters(texts: impl Iterator<Item = String>, special: &[String]) -> String {
    let mut all = BTreeSet::new();
    texts.for_each(|text| all.extend(text.chars()));
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
mod tests {
    use super::*;
    use crate::tokenizer::{Encode, Special, Tokenizer};

    /// A folder with one file for each text, and their paths.
    fn files(texts: &[&[u8]]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let name = |i| folder.path().join(format!("{i}.txt"));
        let paths: Vec<PathBuf> = (0..texts.len()).map(name).collect();
        paths.iter().zip(texts).for_each(|(path, text)| std::fs::write(path, text).unwrap());
        (folder, paths)
    }

    fn learn(texts: &[&str], kind: Kind, special: &[&str]) -> String {
        let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let (_folder, paths) = files(&texts);
        let special = special.iter().map(|name| (*name).to_owned()).collect();
        train(&paths, &Training { kind, special }, &mut |_| {}).unwrap()
    }

    fn merges_of(json: &str) -> Vec<String> {
        let file: Value = serde_json::from_str(json).unwrap();
        let text = |token: &Value| token.as_str().unwrap().to_owned();
        let pair = |merge: &Value| match merge.as_array() {
            Some(pair) => pair.iter().map(text).collect::<Vec<_>>().join(" "),
            None => text(merge),
        };
        file["model"]["merges"].as_array().unwrap().iter().map(pair).collect()
    }

    fn read(json: &str) -> Tokenizer {
        let (_folder, paths) = files(&[json.as_bytes()]);
        Tokenizer::from_json(&paths[0]).unwrap()
    }

    fn all(vocab_size: usize) -> Kind {
        Kind::Merges { vocab_size, min_frequency: 0 }
    }

    /// The merges that a newer version of the crate and a plain implementation give for these
    /// texts.
    #[test]
    fn golden_merges() {
        let widest = ["low"; 5].into_iter().chain(["lower"; 2]).chain(["newest"; 6]);
        let widest = widest.chain(["widest"; 3]).collect::<Vec<_>>().join(" ");
        for (text, golden) in [
            (
                "bbbaaaddddcccc",
                "c c, d d, a a, b b, a dd, b aa, cc cc, dd cccc, bb baa, add ddcccc, bbbaa addddcccc",
            ),
            ("aaaa aaaa aaa", "a a, Ġ aa, aa aa, Ġaa a, Ġaa aa"),
            (
                "DCBBABCDCBABCD",
                "A B, B AB, C D, BAB CD, B BABCD, C BABCD, C BBABCD, D CBBABCD, DCBBABCD CBABCD",
            ),
            (
                widest.as_str(),
                "e s, es t, l o, lo w, e w, n ew, Ġ low, Ġ new, Ġnew est, d est, i dest, w idest, Ġ widest, e r",
            ),
        ] {
            let found = merges_of(&learn(&[text], all(5000), &[]));
            let golden: Vec<&str> = golden.split(", ").collect();
            assert!(found.len() >= golden.len() && found[..golden.len()] == golden, "{found:?}");
        }
    }

    /// The order of files and the size of pieces do not matter, nor do threads.
    #[test]
    fn what_is_learned_depends_on_the_texts_alone() {
        let text = include_str!("../../docs/the-function.md");
        let (_folder, paths) = files(&[text.as_bytes(), b"other words, other words"]);
        let training = Training { kind: all(600), special: vec!["<|end|>".to_owned()] };
        let whole = train(&paths, &training, &mut |_| {}).unwrap();
        assert_eq!(merges_of(&whole).len(), 600 - 257);
        let joined = format!("{text}<|end|>other words, other words");
        assert_eq!(train_text(&joined, &training).unwrap(), whole);
        let reversed: Vec<PathBuf> = paths.iter().rev().cloned().collect();
        for (paths, piece) in [(&paths, 1), (&paths, 1000), (&reversed, 77)] {
            let mut failure = None;
            let mut reported = 0;
            let progress = &mut |bytes| reported = bytes;
            let pieces = Pieces::new(paths, piece, &training.special, &mut failure, progress);
            assert_eq!(merges(pieces, &training, 600, 0).unwrap(), whole, "pieces of {piece}");
            assert!(failure.is_none());
            assert_eq!(reported, text.len() as u64 + 24);
        }
        let tokenizer = read(&whole);
        for text in [text, "", " a  b\n\n c", "naïve 日本語 🤗\u{0}"] {
            let ids = tokenizer.encode(text, Encode::default()).unwrap();
            assert_eq!(tokenizer.decode(&ids), text);
        }
    }

    #[test]
    fn special_tokens_come_first_and_are_not_learned() {
        let text = "ab<|end|>ab<|end|>ab";
        let json = learn(&[text], all(300), &["<|end|>", "<|pad|>"]);
        assert_eq!(merges_of(&json), ["a b"]);
        let tokenizer = read(&json);
        assert_eq!([tokenizer.id("<|end|>"), tokenizer.id("<|pad|>")], [Some(0), Some(1)]);
        assert_eq!(tokenizer.vocab_size(), 259);
        let special = Encode { special: Special::Recognise, ..Encode::default() };
        assert_eq!(tokenizer.encode(text, special).unwrap(), [258, 0, 258, 0, 258]);
    }

    #[test]
    fn bytes_and_characters() {
        let bytes = read(&learn(&["abab"], Kind::Bytes, &["<|end|>"]));
        assert_eq!(bytes.vocab_size(), 257);
        assert_eq!(bytes.encode("é!", Encode::default()).unwrap().len(), 3);
        let text = "To be, or not to be:\nçà";
        let characters = read(&learn(&[text, "xyz"], Kind::Characters, &["<|end|>"]));
        let ids = characters.encode(text, Encode::default()).unwrap();
        assert_eq!(ids.len(), text.chars().count());
        assert_eq!(characters.decode(&ids), text);
        assert_eq!(characters.id("\n"), Some(1));
        let refused = characters.encode("Q", Encode::default()).unwrap_err().to_string();
        assert!(refused.contains("no token"), "{refused}");
    }

    #[test]
    fn what_cannot_be_learned_is_named() {
        let fails = |texts: &[&[u8]], kind, special: &[&str]| {
            let (_folder, paths) = files(texts);
            let special = special.iter().map(|name| (*name).to_owned()).collect();
            train(&paths, &Training { kind, special }, &mut |_| {}).unwrap_err().to_string()
        };
        let bad = [&b"fine"[..], b"not \xff UTF-8"];
        for kind in [all(300), Kind::Characters] {
            let error = fails(&bad, kind, &[]);
            assert!(error.contains("1.txt") && error.contains("not UTF-8 at byte 4"), "{error}");
        }
        assert!(fails(&[b""], all(256), &["<|end|>"]).contains("the least is 257"));
        for (special, reason) in
            [(vec![""], "empty"), (vec!["a b"], "white space"), (vec!["a", "a"], "twice")]
        {
            let error = fails(&[b""], Kind::Bytes, &special);
            assert!(error.contains(reason), "{error}");
        }
        let missing = [PathBuf::from("no such file")];
        let training = Training { kind: all(300), special: Vec::new() };
        let error = train(&missing, &training, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
    }
}
