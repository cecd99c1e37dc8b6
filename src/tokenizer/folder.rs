//! Tokenizers from files in Hugging Face's layout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;

use super::bpe::{self, Pattern};
use super::decode::Decoding;
use super::encoding::Tokenizer;
use super::json::{kind, read_text};
use super::model_file;
use super::pipeline::Pipeline;
use super::sentence_piece::{Blanks, Built, build};
use super::settings::{Class, GENERIC, Settings};
use super::tokenizer_json::Parts;
use crate::checkpoint::SentencePiece;
use crate::error::{Error, Result};
use crate::files::Files;

/// The two-file layouts: vocabulary and merges, in Hugging Face's names and in GPT-2's own.
const PAIRS: [(&str, &str); 2] = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")];

const JSON: &str = "tokenizer.json";
const MODEL: &str = "tokenizer.model";

/// The longest file that is read, in bytes: several times the size of the largest vocabularies.
const LONGEST: u64 = 256 << 20;

/// A class that no model's files without a tokenizer.json have.
const GPT_NEOX: &str = "GPTNeoXTokenizer";

/// GPT-2's only special token, which its two files do not mark as one.
const END_OF_TEXT: &str = "<|endoftext|>";

impl Tokenizer {
    /// The tokenizer of a model folder: tokenizer.json, else vocab.json with merges.txt, else
    /// encoder.json with vocab.bpe, else tokenizer.model. `None` if the folder has none of them.
    ///
    /// The files beside it are read too: `tokenizer_config.json`, `added_tokens.json` and
    /// `special_tokens_map.json` add tokens and mark special ones, and where there is no
    /// tokenizer.json they say how text is split and what begins it.
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
            let mut settings = Settings::read(files)?;
            let whole = text(JSON)?;
            if settings.class == Some(Class::Llama) && has_bytes(&whole) {
                settings = Settings::read_as(files, Some(GENERIC))?;
            }
            let own = matches!(settings.class, Some(Class::Gpt2 | Class::Qwen2));
            let prefix = settings.prefix_space.filter(|_| own);
            let Parts { mut pipeline, decoding, opening, steps } =
                Parts::read(&path(JSON), &whole, prefix)?;
            settings.apply(&mut pipeline)?;
            settings.compare(&opening);
            tell_other_steps(&path(JSON), &settings, &steps);
            let size = pipeline.vocab_size();
            return Ok(Some(Self::new(pipeline, decoding, opening, size, None)));
        }
        for (vocab, merges) in PAIRS {
            if files.has(vocab) || files.has(merges) {
                let own = vocab == PAIRS[1].0;
                let [vocab, merges] = [vocab, merges].map(|name| Ok((path(name), text(name)?)));
                let (vocab, merges) = (vocab?, merges?);
                let settings = Settings::read(files)?;
                let pattern = if own { Pattern::Gpt2 } else { pattern(&vocab.0, &settings) };
                let mut pipeline = pair(&vocab, &merges, pattern, settings.prefix_space)?;
                settings.apply(&mut pipeline)?;
                let opening = settings.opening(&pipeline, None)?;
                let size = pipeline.vocab_size();
                return Ok(Some(Self::new(pipeline, Decoding::Bytes, opening, size, None)));
            }
        }
        if files.has(MODEL) {
            let settings = Settings::read(files)?;
            let pieces = model_file::read(&path(MODEL), &files.bytes(MODEL, LONGEST)?)?;
            return Self::from_model_file(&path(MODEL), pieces, &settings).map(Some);
        }
        Ok(None)
    }

    /// SentencePiece's own file, as the classes of `transformers` read it.
    fn from_model_file(path: &Path, pieces: SentencePiece, settings: &Settings) -> Result<Self> {
        // Llama's class puts a space before a text that has none; SentencePiece, and so the others,
        // before any. Only the older way does so after each added token too.
        let llama = settings.class == Some(Class::Llama);
        let wanted =
            if llama { settings.prefix_space.unwrap_or(true) } else { pieces.space_prefix };
        let blanks = match (wanted, settings.legacy.unwrap_or(!llama)) {
            (false, _) => Blanks::None,
            (true, false) => Blanks::Missing(PrependScheme::First),
            (true, true) if llama => Blanks::Missing(PrependScheme::Always),
            (true, true) => Blanks::Each,
        };
        let bos = pieces.bos;
        let Built { mut pipeline, decoding, by_score } = build(path, pieces, blanks)?;
        settings.apply(&mut pipeline)?;
        let opening = settings.opening(&pipeline, bos)?;
        let size = pipeline.vocab_size();
        Ok(Self::new(pipeline, decoding, opening, size, Some(by_score)))
    }

    /// Reads GPT-2's two files: a JSON object from token to id, and one merge per line.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::File`], with the file and the line at fault.
    pub fn from_vocab_and_merges(vocab: &Path, merges: &Path) -> Result<Self> {
        let [vocab, merges] = [vocab, merges].map(|path| Ok((path.to_owned(), read_text(path)?)));
        let pipeline = pair(&vocab?, &merges?, Pattern::Gpt2, None)?;
        let size = pipeline.vocab_size();
        Ok(Self::new(pipeline, Decoding::Bytes, Vec::new(), size, None))
    }
}

/// Whether a tokenizer.json splits texts into bytes. Many such files name Llama's class, whose special
/// tokens they do not have, and which knows no bytes.
fn has_bytes(text: &str) -> bool {
    text.match_indices("\"ByteLevel\"").any(|(at, _)| {
        let before = text[..at].trim_end().strip_suffix(':');
        before.is_some_and(|before| before.trim_end().ends_with("\"type\""))
    })
}

/// Warns if a tokenizer.json splits texts otherwise than the class that is named beside it: newer
/// programs take the class's own way, others the file's, which models are trained with.
fn tell_other_steps(path: &Path, settings: &Settings, steps: &[Value; 2]) {
    let [normalizer, pre_tokenizer] = steps;
    let neox = settings.unknown.as_deref().filter(|name| name.starts_with(GPT_NEOX));
    let (class, same) = match (settings.class, neox) {
        (Some(Class::Qwen2), _) => ("Qwen2Tokenizer", Pattern::Qwen2.is(steps)),
        // SmolLM's published folders name this class, and their models know single digits.
        (Some(Class::Gpt2), _) => {
            ("GPT2Tokenizer", Pattern::Gpt2.is(steps) || Pattern::Smollm.is(steps))
        }
        // GPT-2's pattern over composed characters.
        (_, Some(_)) => {
            let pattern = Pattern::Gpt2.is(&[Value::Null, pre_tokenizer.clone()]);
            (GPT_NEOX, kind(normalizer) == "NFC" && pattern)
        }
        _ => return,
    };
    if !same {
        log::warn!(
            "{}: splits text in another way than the class {class}, which transformers 5 follows; the \
             file is followed",
            path.display()
        );
    }
}

/// How a text is split, by what the files beside a vocabulary say.
fn pattern(vocab: &Path, settings: &Settings) -> Pattern {
    let guess = match (settings.class, &settings.unknown) {
        (Some(Class::Qwen2), None) => return Pattern::Qwen2,
        (Some(Class::Gpt2), None) => return Pattern::Gpt2,
        (Some(Class::Qwen2), Some(_)) => Pattern::Qwen2,
        _ => Pattern::Gpt2,
    };
    let of = settings.unknown.as_ref().map(|name| format!(" of the {name}")).unwrap_or_default();
    log::warn!(
        "{}: nothing says how the text{of} is split; it is split as {guess:?} does, and the tokens may \
         be wrong",
        vocab.display()
    );
    guess
}

/// The two files, each with its name for errors and its text.
fn pair(
    (vocab, ids): &(PathBuf, String),
    (merges, text): &(PathBuf, String),
    pattern: Pattern,
    prefix_space: Option<bool>,
) -> Result<Pipeline> {
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
    bpe::chain(vocab, ids, pairs, &special, pattern, prefix_space.unwrap_or(false))
}
