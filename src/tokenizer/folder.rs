//! Tokenizers from files in Hugging Face's layout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::bpe;
use super::bpe::{Entry, Pattern};
use super::decode::Decoding;
use super::encoding::Tokenizer;
use super::json::kind;
use super::template;
use crate::error::{Error, Result};
use crate::files::{self, Files};

/// The two-file layouts: vocabulary and merges, in Hugging Face's names and in GPT-2's own.
const PAIRS: [(&str, &str); 2] = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")];

const JSON: &str = "tokenizer.json";

/// The longest file that is read, in bytes: several times the size of the largest vocabularies.
const LONGEST: u64 = 256 << 20;

/// GPT-2's only special token, which its two files do not mark as one.
const END_OF_TEXT: &str = "<|endoftext|>";

impl Tokenizer {
    /// The tokenizer of a model folder: tokenizer.json, else vocab.json with merges.txt, else
    /// encoder.json with vocab.bpe. `None` if the folder has none of them.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::File`] or [`Error::Unsupported`], as in [`Tokenizer::from_json`].
    pub fn from_folder(folder: &Path) -> Result<Option<Self>> {
        Self::from_files(&Files::on_disk(folder))
    }

    /// The same for files from any source.
    ///
    /// # Errors
    /// As [`Tokenizer::from_folder`].
    pub fn from_files(files: &Files) -> Result<Option<Self>> {
        let path = |name: &str| files.path().join(name);
        let text = |name: &str| files.text(name, LONGEST);
        if files.has(JSON) {
            return Self::from_json_text(&path(JSON), &text(JSON)?).map(Some);
        }
        for (vocab, merges) in PAIRS {
            if files.has(vocab) || files.has(merges) {
                let [vocab, merges] = [vocab, merges].map(|name| Ok((path(name), text(name)?)));
                return Self::from_pair(&vocab?, &merges?).map(Some);
            }
        }
        Ok(None)
    }

    /// Reads a tokenizer.json.
    ///
    /// Its truncation, padding and dropout are for training and are not applied.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::File`] if it is damaged, and
    /// [`Error::Unsupported`] for an unknown decoder, normaliser or post-processor.
    pub fn from_json(path: &Path) -> Result<Self> {
        Self::from_json_text(path, &read_text(path)?)
    }

    /// Reads the text of a tokenizer.json; errors name it by the path.
    ///
    /// # Errors
    /// As [`Tokenizer::from_json`].
    pub fn from_json_text(path: &Path, text: &str) -> Result<Self> {
        let mut json: Value = serde_json::from_str(text)
            .map_err(|error| Error::file(path, format!("not valid JSON: {error}")))?;
        let Some(fields) = json.as_object_mut() else {
            return Err(Error::file(path, "not a JSON object"));
        };
        for setting in ["truncation", "padding"] {
            fields.remove(setting);
        }
        let opening = template::opening(path, &take(fields, "post_processor"))?;
        let decoder = take(fields, "decoder");
        let decoding = Decoding::read(path, &decoder, &json["pre_tokenizer"])?;
        refuse_charsmap(path, &json["normalizer"])?;
        check_continuations(path, &json["model"])?;
        if let Some(model) = json["model"].as_object_mut() {
            model.remove("dropout");
        }
        let chain: tokenizers::Tokenizer = serde_json::from_value(json)
            .map_err(|error| Error::file(path, format!("not a tokenizer: {error}")))?;
        let vocab_size = vocab_size(&chain);
        Ok(Self::new(chain, decoding, opening, vocab_size, None))
    }

    /// Reads GPT-2's two files: a JSON object from token to id, and one merge per line.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`], with the file and the line at fault.
    pub fn from_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Self> {
        let [vocab, merges] = [vocab, merges].map(|path| Ok((path.to_owned(), read_text(path)?)));
        Self::from_pair(&vocab?, &merges?)
    }

    /// The two files, each with its name for errors and its text.
    fn from_pair(vocab: &(PathBuf, String), merges: &(PathBuf, String)) -> Result<Self> {
        let ((vocab, ids), (merges, text)) = (vocab, merges);
        let ids: HashMap<String, u32> = serde_json::from_str(ids)
            .map_err(|error| Error::file(vocab, format!("not a map from token to id: {error}")))?;
        let mut tokens = HashMap::with_capacity(ids.len());
        for (token, id) in &ids {
            if let Some(other) = tokens.insert(id, token) {
                let reason = format!("tokens {token:?} and {other:?} share the id {id}");
                return Err(Error::file(vocab, reason));
            }
        }
        // Only the first line may be a comment: `# #` is a merge like any other.
        let lines = text
            .lines()
            .enumerate()
            .skip(usize::from(text.starts_with("#version")))
            .filter(|(_, line)| !line.is_empty())
            .map(|(number, line)| (format!("line {}", number + 1), line));
        let pairs = bpe::read_merges(merges, lines, &ids)?;
        let special = ids.contains_key(END_OF_TEXT).then(|| Entry::special(END_OF_TEXT));
        let chain = bpe::chain(merges, ids, pairs, special, Pattern::Gpt2)?;
        let vocab_size = vocab_size(&chain);
        Ok(Self::new(chain, Decoding::Bytes, Vec::new(), vocab_size, None))
    }
}

/// Removes a field from the file's object; null if it is absent.
fn take(fields: &mut serde_json::Map<String, Value>, part: &str) -> Value {
    fields.remove(part).unwrap_or_default()
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

/// With a continuation prefix, the crate cuts that prefix from the right side of each merge,
/// unchecked.
fn check_continuations(path: &Path, model: &Value) -> Result<()> {
    let Some(prefix) = model["continuing_subword_prefix"].as_str() else { return Ok(()) };
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

/// The highest id + 1 of a pipeline.
fn vocab_size(chain: &tokenizers::Tokenizer) -> usize {
    chain.get_vocab(true).values().max().map_or(0, |&id| (id as usize).saturating_add(1))
}

/// Reads a whole text file; errors name a missing file and one that is not UTF-8.
fn read_text(path: &Path) -> Result<String> {
    let bytes = files::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        Error::file(path, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}
