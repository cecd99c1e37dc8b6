//! Tokenizers from tokenizer.json.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::AddedToken;
use tokenizers::models::ModelWrapper;

use super::decode::Decoding;
use super::encoding::Tokenizer;
use super::expression::Expression;
use super::json::{kind, read_text};
use super::pipeline::{LONGEST, Pipeline};
use super::template;
use crate::checkpoint::parse_json;
use crate::error::{Error, Result};

/// The longest prefix or suffix of the parts of words, in bytes: it is added to every character.
const AFFIX: usize = 64;

/// The longest word in characters that a model of whole words and their parts may look up: this takes
/// the third power of its length. The usual limit is 100.
const WORD: u64 = 200;

/// The most bytes of all tokens that begin alike, each the beginning of the next: a model of unigrams
/// looks up all of them at every place of a text. Sixty-four lengths of a row of blanks have 6,240.
const ALIKE: usize = 16 << 10;

/// The most expressions of a tokenizer. Real ones have up to five.
const EXPRESSIONS: usize = 32;

impl Tokenizer {
    /// Reads a tokenizer.json.
    ///
    /// Its truncation, padding and dropout are for training and are not applied.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::File`] if it is damaged or asks for more than any
    /// tokenizer needs, and [`Error::Unsupported`] for an unknown decoder, normalizer or
    /// post-processor.
    pub fn from_json(path: &Path) -> Result<Self> {
        Self::from_json_text(path, &read_text(path)?)
    }

    /// Reads the text of a tokenizer.json; errors name it by the path.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn from_json_text(path: &Path, text: &str) -> Result<Self> {
        let Parts { pipeline, decoding, opening, .. } = Parts::read(path, text, None)?;
        let vocab_size = pipeline.vocab_size();
        Ok(Self::new(pipeline, decoding, opening, vocab_size, None))
    }
}

/// What a tokenizer.json describes.
pub(super) struct Parts {
    pub(super) pipeline: Pipeline,
    pub(super) decoding: Decoding,
    pub(super) opening: Vec<u32>,
    /// How the file itself normalizes and splits a text.
    pub(super) steps: [Value; 2],
}

impl Parts {
    /// Reads the text of a tokenizer.json; errors name it by the path. `prefix_space` stands for what
    /// the file says of a space before a text that has none.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json_text`].
    pub(super) fn read(path: &Path, text: &str, prefix_space: Option<bool>) -> Result<Self> {
        if text.trim_start().starts_with('[') {
            return Err(Error::file(path, "not a JSON object"));
        }
        let mut json = parse_json(text)
            .map(Value::Object)
            .map_err(|error| Error::file(path, format!("not valid JSON: {error}")))?;
        let version = json["version"].as_str().unwrap_or("1.0");
        if version != "1.0" {
            return Err(Error::unsupported(
                format!("{}: version {version:?}", path.display()),
                "1.0",
            ));
        }
        let opening = template::opening(path, &json["post_processor"])?;
        let decoding = Decoding::read(path, &json["decoder"], &json["pre_tokenizer"])?;
        refuse_charsmap(path, &json["normalizer"])?;
        check_model(path, &json["model"])?;
        let mut left = EXPRESSIONS;
        for name in ["normalizer", "pre_tokenizer", "decoder"] {
            check_expressions(path, name, &json[name], &mut left)?;
        }
        if let Some(model) = json["model"].as_object_mut() {
            model.remove("dropout");
        }
        if let Some(prefix_space) = prefix_space {
            let bytes = match kind(&json["pre_tokenizer"]) {
                "Sequence" => json["pre_tokenizer"]["pretokenizers"]
                    .as_array_mut()
                    .and_then(|steps| steps.last_mut()),
                _ => Some(&mut json["pre_tokenizer"]),
            };
            if let Some(bytes) = bytes.filter(|bytes| kind(bytes) == "ByteLevel") {
                bytes["add_prefix_space"] = prefix_space.into();
            }
        }
        let listed = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
        let added: Vec<AddedToken> =
            listed.iter().map(|token| part(path, "added_tokens", token)).collect::<Result<_>>()?;
        let model: ModelWrapper = part(path, "model", &json["model"])?;
        let normalizer = part(path, "normalizer", &json["normalizer"])?;
        let pre_tokenizer = part(path, "pre_tokenizer", &json["pre_tokenizer"])?;
        let pipeline = Pipeline::new(path, model, normalizer, pre_tokenizer, &added)?;
        let named = added.iter().zip(listed).filter(|(token, _)| !token.content.is_empty());
        let ids = named.map(|(token, listed)| {
            (listed["id"].as_u64().unwrap_or(u64::MAX), token.content.as_str())
        });
        pipeline.compare(path, ids);
        let steps = ["normalizer", "pre_tokenizer"].map(|name| json[name].take());
        Ok(Self { pipeline, decoding, opening, steps })
    }
}

/// A part of the file, in the crate's form.
fn part<T: DeserializeOwned>(path: &Path, name: &str, value: &Value) -> Result<T> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::file(path, format!("not a tokenizer: {name}: {error}")))
}

/// Rejects compiled character maps: the crate trusts every offset in them, so a damaged one would
/// crash the program, and no supported family needs them.
fn refuse_charsmap(path: &Path, normalizer: &Value) -> Result<()> {
    let parts = normalizer["normalizers"].as_array();
    if kind(normalizer) == "Precompiled" || !normalizer["precompiled_charsmap"].is_null() {
        return Err(Error::unsupported(
            format!("{}: normalizer Precompiled", path.display()),
            "any other normalizer of the tokenizers crate",
        ));
    }
    parts.into_iter().flatten().try_for_each(|part| refuse_charsmap(path, part))
}

/// Rejects expressions that are too large, or too many, before the crate compiles them without a bound.
fn check_expressions(path: &Path, name: &str, part: &Value, left: &mut usize) -> Result<()> {
    match part {
        Value::Object(fields) => {
            if let Some(source) = fields.get("Regex").and_then(Value::as_str) {
                *left = left.checked_sub(1).ok_or_else(|| {
                    Error::file(path, format!("more than {EXPRESSIONS} regular expressions"))
                })?;
                Expression::new(source)
                    .map_err(|error| Error::file(path, format!("{name}: {error}")))?;
            }
            fields.values().try_for_each(|part| check_expressions(path, name, part, left))
        }
        Value::Array(parts) => {
            parts.iter().try_for_each(|part| check_expressions(path, name, part, left))
        }
        _ => Ok(()),
    }
}

/// Of tokens of which each is the beginning of the next, those with the most bytes together: the last
/// one, and these bytes.
fn most_alike(mut tokens: Vec<&str>) -> Option<(&str, usize)> {
    tokens.sort_unstable();
    tokens.dedup();
    // The tokens that the present one begins with, and the bytes of all up to each.
    let mut open: Vec<(&str, usize)> = Vec::new();
    let mut most = None;
    for token in tokens {
        while open.last().is_some_and(|(start, _)| !token.starts_with(start)) {
            open.pop();
        }
        let bytes = open.last().map_or(0, |(_, bytes)| *bytes) + token.len();
        open.push((token, bytes));
        if most.is_none_or(|(_, so_far)| bytes > so_far) {
            most = Some((token, bytes));
        }
    }
    most
}

/// Rejects what the crate's models trust: a merge that does not continue, a prefix that is added to
/// every character, words of any length.
fn check_model(path: &Path, model: &Value) -> Result<()> {
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
        let length = model[name].as_str().map_or(0, str::len);
        if length > AFFIX {
            let reason = format!("model: {name} has {length} bytes; the most is {AFFIX}");
            return Err(Error::file(path, reason));
        }
    }
    if let Some(length) = model["max_input_chars_per_word"].as_u64().filter(|most| *most > WORD) {
        let reason = format!("model: max_input_chars_per_word is {length}; the most is {WORD}");
        return Err(Error::file(path, reason));
    }
    // A model of unigrams is a list of tokens and scores; it tries all of them at every place.
    let unigrams = model["vocab"].as_array().map_or(&[][..], Vec::as_slice);
    let lengths = unigrams.iter().map(|entry| entry[0].as_str().map_or(0, str::len));
    if let Some(length) = lengths.max().filter(|length| *length > LONGEST) {
        let reason = format!("model: a token of {length} bytes; the longest is {LONGEST}");
        return Err(Error::file(path, reason));
    }
    let names = unigrams.iter().filter_map(|entry| entry[0].as_str());
    if let Some((name, bytes)) = most_alike(names.collect()).filter(|(_, bytes)| *bytes > ALIKE) {
        let start: String = name.chars().take(20).collect();
        let reason = format!(
            "model: {bytes} bytes of tokens that each begin as the next one ({start:?}...); the most is \
             {ALIKE}"
        );
        return Err(Error::file(path, reason));
    }
    let Some(prefix) = model["continuing_subword_prefix"].as_str() else { return Ok(()) };
    // The crate cuts the prefix from the right side of each merge, unchecked.
    for merge in model["merges"].as_array().into_iter().flatten() {
        let right = match merge.as_str() {
            Some(pair) => pair.split(' ').nth(1),
            None => merge[1].as_str(),
        };
        if !right.is_some_and(|right| right.starts_with(prefix)) {
            return Err(Error::file(
                path,
                format!("merge {merge} does not continue with {prefix:?}"),
            ));
        }
    }
    Ok(())
}
