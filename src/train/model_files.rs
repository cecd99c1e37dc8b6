//! A model's files apart from its tensors.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value};

use crate::atomic_file;
use crate::checkpoint::{Checkpoint, TensorLayout, parse_json};
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
        let mut config = parse_json(&files.text(CONFIG, LONGEST)?)
            .map_err(|e| Error::file(checkpoint.path().join(CONFIG), e.to_string()))?;
        tell_tied(&mut config, layout.config().tied_head);
        let config = Value::Object(config);
        let there = COMPANIONS.into_iter().filter(|name| files.has(name));
        let mut files = there.map(|name| Ok((name, read(name)?))).collect::<Result<Vec<_>>>()?;
        name_end(checkpoint, &mut files)?;
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

/// Makes a configuration say whether the head is the embedding, as it is in the tensors: a head that
/// was stored apart stays so.
fn tell_tied(config: &mut Map<String, Value>, tied: bool) {
    const TIED: &str = "tie_word_embeddings";
    if let Some(text) = config.get_mut("text_config").and_then(Value::as_object_mut)
        && text.contains_key(TIED)
    {
        text.insert(TIED.to_owned(), tied.into());
    }
    // Without the field, the family's default holds, which may be that they are tied.
    if !tied || config.contains_key(TIED) {
        config.insert(TIED.to_owned(), tied.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Param;
    use crate::files::Files;
    use crate::train::{Family, Sizes, new_model_in_memory};

    #[test]
    fn a_head_that_was_stored_apart_stays_apart() {
        let sizes = Sizes {
            family: Family::Llama,
            layers: 1,
            heads: 2,
            width: 16,
            context: 8,
            vocab: 5,
            untied: true,
            ..Sizes::default()
        };
        let files = new_model_in_memory(&sizes.config(None), 1, []).unwrap();
        let bytes = |name: &str| files.bytes(name, 1 << 20).unwrap();
        for (given, extra) in [(Value::from(true), ""), (Value::from(false), r#""x": NaN, "#)] {
            let mut config: Value = serde_json::from_slice(&bytes(CONFIG)).unwrap();
            config["tie_word_embeddings"] = given;
            let config = config.to_string().replacen('{', &format!("{{{extra}"), 1).into_bytes();
            let model = "model.safetensors";
            let all = [(CONFIG.to_owned(), config), (model.to_owned(), bytes(model))];
            let checkpoint = Checkpoint::open_files(Files::in_memory("given", all)).unwrap();
            assert!(checkpoint.has(Param::Head, 0));
            let own = ModelFiles::of(&checkpoint).unwrap();
            let written = own.files(Format::F32).unwrap();
            let (_, config) = written.iter().find(|(name, _)| *name == CONFIG).unwrap();
            let config: Value = serde_json::from_slice(config).unwrap();
            assert_eq!(config["tie_word_embeddings"], false);
            assert_eq!(config["x"]["__float__"].is_null(), extra.is_empty());
            assert!(own.layout.config() == checkpoint.config());
        }
    }
}
