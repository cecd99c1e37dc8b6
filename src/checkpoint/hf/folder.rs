//! A folder in Hugging Face's layout: its files, and which tensor is in which file.

use serde_json::Value;

use super::config;
use super::object::{LONGEST_JSON, object, optional};
use super::safetensors;
use super::shards::{self, Absent, Tensors};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::source::Entries;
use crate::checkpoint::special::{SpecialToken, SpecialTokens};
use crate::checkpoint::tensor_names::Names;
use crate::checkpoint::wrappers::unwrap;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::files::Files;

/// The most tensors of a model, if no file says how many there are.
const MOST_TENSORS: usize = 10_000;

const CONFIG: &str = "config.json";
const GENERATION: &str = "generation_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
const SINGLE: &str = "model.safetensors";
const ADAPTER: &str = "adapter_config.json";

/// The contents of a folder's files.
pub(in crate::checkpoint) struct Folder {
    pub(in crate::checkpoint) config: Config,
    pub(in crate::checkpoint) names: &'static Names,
    pub(in crate::checkpoint) entries: Entries,
    pub(in crate::checkpoint) absent: Absent,
    pub(in crate::checkpoint) chat_template: Option<String>,
}

/// Reads a folder.
pub(in crate::checkpoint) fn open(files: &Files, notes: &Notes) -> Result<Folder> {
    if !files.has(CONFIG) {
        let reason = if files.has(ADAPTER) {
            "has no config.json: it holds an adapter; give a folder with the model into whose \
             weights it was merged"
        } else {
            "has no config.json; give a folder in Hugging Face's layout, or a GGUF file"
        };
        return Err(Error::file(files.path(), reason));
    }
    if files.has(ADAPTER) {
        notes.add(files.path(), format!("the adapter of {ADAPTER} is not used"));
    }
    let map = object(files, CONFIG)?;
    let generation = optional(files, GENERATION)?;
    let Tensors { entries, absent } = tensors(files, notes)?;
    let entries = unwrap(files.path(), entries)?;
    let (path, generation_path) = (files.path().join(CONFIG), files.path().join(GENERATION));
    let fields = Fields::new(&path, &map, notes);
    let generation = generation.as_ref().map(|map| Fields::new(&generation_path, map, notes));
    config::no_expert_tensors(fields, &entries)?;
    let (config, names) = config::read(fields, generation, entries.len())?;
    Ok(Folder { config, names, entries, absent, chat_template: chat_template(files, notes)? })
}

/// The model that a config.json describes, before it has tensors.
pub(in crate::checkpoint) fn config(
    files: &Files,
    name: &str,
    notes: &Notes,
) -> Result<(Config, &'static Names)> {
    let (map, path) = (object(files, name)?, files.path().join(name));
    config::read(Fields::new(&path, &map, notes), None, MOST_TENSORS)
}

/// Every tensor of the folder's safetensors files.
fn tensors(files: &Files, notes: &Notes) -> Result<Tensors> {
    let one = |name: &str| {
        let entries = safetensors::entries(&files.open(name)?)?;
        Ok(Tensors { entries, ..Tensors::default() })
    };
    if files.has(SINGLE) {
        if files.has(shards::INDEX) {
            let what = format!("is not used, nor are its files: {SINGLE} takes precedence");
            shards::tell_unless_it_lists(files, SINGLE, notes, &what);
        }
        return one(SINGLE);
    }
    if files.has(shards::INDEX) {
        return shards::read(files, notes);
    }
    let mut names = files.names()?;
    names.retain(|name| name.ends_with(".safetensors"));
    match names.as_slice() {
        [name] => one(name),
        [] if files.has("pytorch_model.bin") => Err(Error::unsupported(
            format!("{}: pytorch_model.bin", files.path().display()),
            "*.safetensors, which transformers' save_pretrained writes, or GGUF",
        )),
        [] => Err(Error::file(files.path(), "has no *.safetensors")),
        _ => {
            let reason = format!("has several *.safetensors, but no {}", shards::INDEX);
            Err(Error::file(files.path(), reason))
        }
    }
}

/// The chat template: a file of its own, or else a field of `tokenizer_config.json`, which holds one
/// template or a list of named ones.
fn chat_template(files: &Files, notes: &Notes) -> Result<Option<String>> {
    let own = if files.has(TEMPLATE) { Some(files.text(TEMPLATE, LONGEST_JSON)?) } else { None };
    let map = match optional(files, TOKENIZER_CONFIG) {
        Ok(map) => map.unwrap_or_default(),
        // The file with the template needs no other.
        Err(_) if own.is_some() => return Ok(own),
        Err(error) => return Err(error),
    };
    let path = files.path().join(TOKENIZER_CONFIG);
    let fields = Fields::new(&path, &map, notes);
    let field = "chat_template";
    let given = match fields.get(field) {
        Some(Value::Array(named)) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .and_then(|entry| entry.get("template")),
        other => other,
    };
    let given = given.and_then(Value::as_str);
    match (own, given) {
        (Some(own), Some(given)) if own != given => {
            fields.note(field, format!("is not used: {TEMPLATE} takes precedence"));
            Ok(Some(own))
        }
        (Some(own), _) => Ok(Some(own)),
        (None, Some(given)) => Ok(Some(given.to_owned())),
        (None, None) => {
            if fields.get(field).is_some() {
                fields.note(field, "is not used: it holds no text, and no template named default");
            }
            Ok(None)
        }
    }
}

/// The tokens that begin and end a text in `tokenizer_config.json`: a name, or an object that
/// holds it.
pub(in crate::checkpoint) fn special_tokens(files: &Files) -> Result<SpecialTokens> {
    let map = optional(files, TOKENIZER_CONFIG)?.unwrap_or_default();
    let token = |field: &str| {
        let value = map.get(field)?;
        Some(SpecialToken::Text(value.get("content").unwrap_or(value).as_str()?.to_owned()))
    };
    Ok(SpecialTokens { bos: token("bos_token"), eos: token("eos_token") })
}
