//! A folder in Hugging Face's layout: which files it has, and which tensor lies in which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::fields::Fields;
use super::hf_config;
use super::names::Names;
use super::safetensors;
use super::source::{Entries, read_text};
use crate::config::Config;
use crate::error::{Error, Result};

/// The longest JSON file read whole: an index of the largest models has some tens of megabytes.
const LONGEST_JSON: u64 = 64 << 20;

/// The most tensors of a model without a file that says how many there are.
const MOST_TENSORS: usize = 10_000;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// What a folder says about itself.
pub(super) struct Folder {
    pub(super) config: Config,
    pub(super) names: &'static Names,
    pub(super) entries: Entries,
    pub(super) chat_template: Option<String>,
}

/// Reads a folder.
pub(super) fn open(folder: &Path) -> Result<Folder> {
    let path = folder.join("config.json");
    if !path.is_file() {
        return Err(Error::file(
            folder,
            "has no config.json; give a folder in Hugging Face's layout, or a GGUF file",
        ));
    }
    let map = json(&path)?;
    let generation_path = folder.join("generation_config.json");
    let generation = optional_json(&generation_path)?;
    let entries = tensors(folder)?;
    let fields = Fields { path: &path, prefix: "", map: &map };
    let generation = generation.as_ref();
    let generation = generation.map(|map| Fields { path: &generation_path, prefix: "", map });
    let (config, names) = hf_config::read(fields, generation, entries.len())?;
    Ok(Folder { config, names, entries, chat_template: chat_template(folder)? })
}

/// The kind of model that a config.json describes, of which no tensors are there yet.
pub(super) fn config(path: &Path) -> Result<(Config, &'static Names)> {
    let map = json(path)?;
    hf_config::read(Fields { path, prefix: "", map: &map }, None, MOST_TENSORS)
}

fn json(path: &Path) -> Result<Map<String, Value>> {
    parse(path, &read_text(path, LONGEST_JSON)?)
}

/// The fields of a JSON file; the path is what errors call it.
pub(super) fn parse(path: &Path, text: &str) -> Result<Map<String, Value>> {
    serde_json::from_str(text).map_err(|e| Error::file(path, format!("is no valid JSON: {e}")))
}

fn optional_json(path: &Path) -> Result<Option<Map<String, Value>>> {
    if path.is_file() { json(path).map(Some) } else { Ok(None) }
}

/// Every tensor of the folder's safetensors files.
fn tensors(folder: &Path) -> Result<Entries> {
    let single = folder.join(SINGLE);
    if single.is_file() {
        return safetensors::open(&single);
    }
    let index = folder.join(INDEX);
    if index.is_file() {
        return sharded(folder, &index);
    }
    let files = safetensors_files(folder)?;
    match files.as_slice() {
        [one] => safetensors::open(one),
        [] if folder.join("pytorch_model.bin").is_file() => Err(Error::unsupported(
            format!("{}: pytorch_model.bin", folder.display()),
            "*.safetensors, which transformers' save_pretrained writes, or GGUF",
        )),
        [] => Err(Error::file(folder, "has no *.safetensors")),
        _ => Err(Error::file(folder, format!("has several *.safetensors, but no {INDEX}"))),
    }
}

fn safetensors_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for item in folder.read_dir().map_err(|e| Error::io(folder, e))? {
        let path = item.map_err(|e| Error::io(folder, e))?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The tensors that an index spreads over several files.
fn sharded(folder: &Path, index: &Path) -> Result<Entries> {
    let map = json(index)?;
    let fields = Fields { path: index, prefix: "", map: &map };
    let listed = fields.object("weight_map")?;
    let listed = listed.ok_or_else(|| fields.bad("weight_map", "is missing"))?;
    let mut by_file: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for (name, file) in listed {
        // A file elsewhere is none of this model's.
        let file = file
            .as_str()
            .filter(|file| !file.contains(['/', '\\', ':']) && !matches!(*file, "" | "." | ".."))
            .ok_or_else(|| {
                Error::tensor(index, name, format!("must lie in a file of the folder, not {file}"))
            })?;
        by_file.entry(file).or_default().push(name);
    }
    let mut entries = Entries::new();
    for (file, names) in by_file {
        let path = folder.join(file);
        let mut shard = safetensors::open(&path)?;
        for name in names {
            let entry = shard.remove(name).ok_or_else(|| {
                Error::tensor(&path, name, format!("is missing, though {INDEX} puts it here"))
            })?;
            entries.insert(name.clone(), entry);
        }
    }
    Ok(entries)
}

/// The chat template: a file of its own, or a field of `tokenizer_config.json`, which holds one
/// template or a list of named ones.
fn chat_template(folder: &Path) -> Result<Option<String>> {
    let own = folder.join("chat_template.jinja");
    if own.is_file() {
        return read_text(&own, LONGEST_JSON).map(Some);
    }
    let Some(map) = optional_json(&folder.join("tokenizer_config.json"))? else { return Ok(None) };
    let template = match map.get("chat_template") {
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")),
        other => other,
    };
    Ok(template.and_then(Value::as_str).map(str::to_owned))
}

/// The tokens that begin and end a text, by name, as `tokenizer_config.json` has them: a name, or
/// an object that holds it.
pub(super) fn special_names(folder: &Path) -> Result<(Option<String>, Option<String>)> {
    let map = optional_json(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
    let name = |field: &str| {
        let value = map.get(field)?;
        Some(value.get("content").unwrap_or(value).as_str()?.to_owned())
    };
    Ok((name("bos_token"), name("eos_token")))
}
