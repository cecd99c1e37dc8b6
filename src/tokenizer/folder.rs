//! Tokenizers from files in Hugging Face's layout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::bpe;
use super::bpe::Pattern;
use super::decode::Decoding;
use super::encoding::Tokenizer;
use super::json::read_text;
use crate::error::{Error, Result};
use crate::files::Files;

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
        let special = ids.contains_key(END_OF_TEXT).then(|| bpe::whole(END_OF_TEXT, true));
        let special: Vec<_> = special.into_iter().collect();
        let pipeline = bpe::chain(vocab, ids, pairs, &special, Pattern::Gpt2)?;
        let vocab_size = pipeline.vocab_size();
        Ok(Self::new(pipeline, Decoding::Bytes, Vec::new(), vocab_size, None))
    }
}
