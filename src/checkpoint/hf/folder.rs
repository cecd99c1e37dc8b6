//! A folder in Hugging Face's layout: its files, and which tensor is in which file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::config;
use super::safetensors;
use crate::checkpoint::fields::Fields;
use crate::checkpoint::source::Entries;
use crate::checkpoint::special::{SpecialToken, SpecialTokens};
use crate::checkpoint::tensor_names::Names;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::Files;

/// The longest JSON file that is read, in bytes: the index of the largest models has tens of
/// megabytes.
const LONGEST_JSON: u64 = 64 << 20;

/// The most tensors of a model, if no file says how many there are.
const MOST_TENSORS: usize = 10_000;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const TEMPLATE: &str = "chat_template.jinja";
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The contents of a folder's files.
pub(in crate::checkpoint) struct Folder {
    pub(in crate::checkpoint) config: Config,
    pub(in crate::checkpoint) names: &'static Names,
    pub(in crate::checkpoint) entries: Entries,
    pub(in crate::checkpoint) chat_template: Option<String>,
}

/// Reads a folder.
pub(in crate::checkpoint) fn open(files: &Files) -> Result<Folder> {
    if !files.has(CONFIG) {
        return Err(Error::file(
            files.path(),
            "has no config.json; give a folder in Hugging Face's layout, or a GGUF file",
        ));
    }
    let map = json(files, CONFIG)?;
    let generation = optional_json(files, GENERATION)?;
    let entries = tensors(files)?;
    let (path, generation_path) = (files.path().join(CONFIG), files.path().join(GENERATION));
    let fields = Fields { path: &path, prefix: "", map: &map };
    let generation = generation.as_ref();
    let generation = generation.map(|map| Fields { path: &generation_path, prefix: "", map });
    let (config, names) = config::read(fields, generation, entries.len())?;
    Ok(Folder { config, names, entries, chat_template: chat_template(files)? })
}

/// The model that a config.json describes, before it has tensors.
pub(in crate::checkpoint) fn config(files: &Files, name: &str) -> Result<(Config, &'static Names)> {
    let (map, path) = (json(files, name)?, files.path().join(name));
    config::read(Fields { path: &path, prefix: "", map: &map }, None, MOST_TENSORS)
}

fn json(files: &Files, name: &str) -> Result<Map<String, Value>> {
    let text = files.text(name, LONGEST_JSON)?;
    let bad = |e| Error::file(files.path().join(name), format!("is not valid JSON: {e}"));
    serde_json::from_str(&text).map_err(bad)
}

fn optional_json(files: &Files, name: &str) -> Result<Option<Map<String, Value>>> {
    if files.has(name) { json(files, name).map(Some) } else { Ok(None) }
}

/// Every tensor of the folder's safetensors files.
fn tensors(files: &Files) -> Result<Entries> {
    if files.has(SINGLE) {
        return safetensors::entries(&files.open(SINGLE)?);
    }
    if files.has(INDEX) {
        return sharded(files);
    }
    let mut names = files.names()?;
    names.retain(|name| name.ends_with(".safetensors"));
    match names.as_slice() {
        [one] => safetensors::entries(&files.open(one)?),
        [] if files.has("pytorch_model.bin") => Err(Error::unsupported(
            format!("{}: pytorch_model.bin", files.path().display()),
            "*.safetensors, which transformers' save_pretrained writes, or GGUF",
        )),
        [] => Err(Error::file(files.path(), "has no *.safetensors")),
        _ => Err(Error::file(files.path(), format!("has several *.safetensors, but no {INDEX}"))),
    }
}

/// The tensors of several files, by their index.
fn sharded(files: &Files) -> Result<Entries> {
    let map = json(files, INDEX)?;
    let index = &files.path().join(INDEX);
    let fields = Fields { path: index, prefix: "", map: &map };
    let listed = fields.object("weight_map")?;
    let listed = listed.ok_or_else(|| fields.bad("weight_map", "is missing"))?;
    let mut by_file: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for (name, file) in listed {
        // Files outside the folder are not read.
        let file = file
            .as_str()
            .filter(|file| !file.contains(['/', '\\', ':']) && !matches!(*file, "" | "." | ".."))
            .ok_or_else(|| {
                Error::tensor(index, name, format!("must be in a file of this folder, not {file}"))
            })?;
        by_file.entry(file).or_default().push(name);
    }
    let mut entries = Entries::new();
    for (file, names) in by_file {
        let source = files.open(file)?;
        let mut shard = safetensors::entries(&source)?;
        for name in names {
            let entry = shard.remove(name).ok_or_else(|| {
                Error::tensor(
                    source.path(),
                    name,
                    format!("is missing, though {INDEX} puts it here"),
                )
            })?;
            entries.insert(name.clone(), entry);
        }
    }
    Ok(entries)
}

/// The chat template: a file of its own, or a field of `tokenizer_config.json`, which holds one
/// template or a list of named ones.
fn chat_template(files: &Files) -> Result<Option<String>> {
    if files.has(TEMPLATE) {
        return files.text(TEMPLATE, LONGEST_JSON).map(Some);
    }
    let Some(map) = optional_json(files, TOKENIZER_CONFIG)? else { return Ok(None) };
    let template = match map.get("chat_template") {
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")),
        other => other,
    };
    Ok(template.and_then(Value::as_str).map(str::to_owned))
}

/// The tokens that begin and end a text in `tokenizer_config.json`, else in
/// `special_tokens_map.json`: a name, or an object that holds it.
pub(in crate::checkpoint) fn special_tokens(files: &Files) -> Result<SpecialTokens> {
    let map = optional_json(files, TOKENIZER_CONFIG)?.unwrap_or_default();
    let older = optional_json(files, SPECIAL_TOKENS)?.unwrap_or_default();
    let token = |field: &str| {
        let value = map.get(field).or_else(|| older.get(field))?;
        Some(SpecialToken::Text(value.get("content").unwrap_or(value).as_str()?.to_owned()))
    };
    Ok(SpecialTokens { bos: token("bos_token"), eos: token("eos_token") })
}
