//! A model's files apart from its tensors.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

use crate::atomic_file;
use crate::checkpoint::{Checkpoint, TensorLayout};
use crate::error::{Error, Result};
use crate::format::Format;
use crate::tokenizer::Tokenizer;

use super::attention_only;

/// A model's configuration, tokenizer and names, kept in memory in case the folder they came from
/// changes.
#[derive(Debug)]
pub struct ModelFiles {
    pub(super) layout: TensorLayout,
    config: Value,
    files: Vec<(&'static str, Vec<u8>)>,
}

/// The configuration.
pub(super) const CONFIG: &str = "config.json";

/// What people should know of a model that other programs do not have.
pub(super) const README: &str = "README.md";

/// Files that belong to a model besides its tensors; those that exist are copied.
pub(super) const COMPANIONS: [&str; 9] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "chat_template.jinja",
    "added_tokens.json",
];

/// What the tokenizer's special tokens are called.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// The largest such file that is read.
const LONGEST: u64 = 256 << 20;

/// A file's name and content.
type Named<'a> = (&'static str, Cow<'a, [u8]>);

impl ModelFiles {
    /// The files of a model in Hugging Face's layout.
    ///
    /// # Errors
    /// Those of reading its files; [`Error::Unsupported`] for a GGUF file.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self> {
        let layout = TensorLayout::of(checkpoint)?;
        let files = checkpoint.files().ok_or_else(|| {
            Error::unsupported("training from a GGUF file", "folders in Hugging Face's layout")
        })?;
        let read = |name: &str| files.bytes(name, LONGEST);
        let config = serde_json::from_slice(&read(CONFIG)?)
            .map_err(|e| Error::file(checkpoint.path().join(CONFIG), e.to_string()))?;
        let there = COMPANIONS.into_iter().filter(|name| files.has(name));
        let mut files = there.map(|name| Ok((name, read(name)?))).collect::<Result<Vec<_>>>()?;
        name_end(checkpoint, &mut files)?;
        Ok(Self { layout, config, files })
    }

    /// Writes everything except the tensors into a folder, for a model in this format.
    pub(super) fn write(&self, folder: &Path, format: Format) -> Result<()> {
        for (name, bytes) in self.files(format)? {
            let path = folder.join(name);
            atomic_file::write(&path, &bytes).map_err(|e| Error::io(&path, e))?;
        }
        Ok(())
    }

    /// Everything except the tensors, by name, for a model in this format.
    pub(super) fn files(&self, format: Format) -> Result<Vec<Named<'_>>> {
        let mut config = self.config.clone();
        for name in ["torch_dtype", "dtype"] {
            if let Some(word) = config.get_mut(name) {
                *word = Value::from(if format == Format::F16 { "float16" } else { "float32" });
            }
        }
        attention_only::name(self.layout.config(), &mut config);
        let readme = attention_only::readme(&config);
        let readme = readme.map(|text| (README, Cow::from(text.into_bytes())));
        let text = serde_json::to_string_pretty(&config)
            .map_err(|error| Error::file(CONFIG, error.to_string()))?;
        let files = self.files.iter().map(|(name, bytes)| (*name, Cow::from(bytes)));
        let config = (CONFIG, Cow::from(format!("{text}\n").into_bytes()));
        Ok(files.chain([config]).chain(readme).collect())
    }
}

/// Names the token that ends a text in the tokenizer's configuration, for programs that look for it
/// there, if the model says it by its id only.
fn name_end(checkpoint: &Checkpoint, files: &mut Vec<(&'static str, Vec<u8>)>) -> Result<()> {
    let has = |name: &str| files.iter().any(|file| file.0 == name);
    if !has("tokenizer.json") || has("special_tokens_map.json") {
        return Ok(());
    }
    if checkpoint.special_tokens()?.eos.is_some() {
        return Ok(());
    }
    let Some(tokenizer) = Tokenizer::from_checkpoint(checkpoint)? else { return Ok(()) };
    let special = checkpoint.config().eos.iter().find(|id| tokenizer.is_special(**id));
    let Some(end) = special.and_then(|id| tokenizer.token(*id)) else { return Ok(()) };
    let at = files.iter().position(|file| file.0 == TOKENIZER_CONFIG);
    let mut fields: Map<String, Value> = match at {
        Some(at) => serde_json::from_slice(&files[at].1).map_err(|error| {
            Error::file(checkpoint.path().join(TOKENIZER_CONFIG), error.to_string())
        })?,
        None => Map::new(),
    };
    fields.insert("eos_token".to_owned(), end.into());
    let bytes = format!("{:#}\n", Value::Object(fields)).into_bytes();
    match at {
        Some(at) => files[at].1 = bytes,
        None => files.push((TOKENIZER_CONFIG, bytes)),
    }
    Ok(())
}
