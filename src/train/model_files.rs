//! A model's files apart from its tensors.

use std::borrow::Cow;
use std::path::Path;

use serde_json::Value;

use crate::atomic_file;
use crate::checkpoint::{Checkpoint, TensorLayout};
use crate::error::{Error, Result};
use crate::format::Format;

/// A model's configuration, tokenizer and names, kept in memory in case the folder they came from
/// changes.
#[derive(Debug)]
pub struct ModelFiles {
    pub(super) layout: TensorLayout,
    config: Value,
    files: Vec<(&'static str, Vec<u8>)>,
}

const CONFIG: &str = "config.json";

/// Files that belong to a model besides its tensors; those that exist are copied.
const COMPANIONS: [&str; 9] = [
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
        let files = there.map(|name| Ok((name, read(name)?))).collect::<Result<_>>()?;
        Ok(Self { layout, config, files })
    }

    /// Writes everything except the tensors into a folder, for a model in this format.
    pub(super) fn write(&self, folder: &Path, format: Format) -> Result<()> {
        for (name, bytes) in self.files(format)? {
            let path = folder.join(name);
            atomic_file::write_own(&path, &bytes).map_err(|e| Error::io(&path, e))?;
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
        let text = serde_json::to_string_pretty(&config)
            .map_err(|error| Error::file(CONFIG, error.to_string()))?;
        let files = self.files.iter().map(|(name, bytes)| (*name, Cow::from(bytes)));
        let config = (CONFIG, Cow::from(format!("{text}\n").into_bytes()));
        Ok(files.chain([config]).collect())
    }
}
