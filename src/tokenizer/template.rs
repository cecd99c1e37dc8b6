//! The tokens that tokenizer.json's post-processor puts before a text.

use std::path::Path;

use serde_json::Value;

use super::json::kind;
use crate::error::{Error, Result};

/// The ids before a single text; empty if there is no post-processor or it adds none.
///
/// # Errors
/// [`Error::File`] for a template that names tokens it does not list, and
/// [`Error::Unsupported`] for an unknown kind.
pub(super) fn opening(path: &Path, processor: &Value) -> Result<Vec<u32>> {
    match kind(processor) {
        "" if processor.is_null() => Ok(Vec::new()),
        "ByteLevel" => Ok(Vec::new()),
        "TemplateProcessing" => template(path, processor),
        "BertProcessing" | "RobertaProcessing" => {
            let id = id(&processor["cls"][1]).ok_or_else(|| damaged(path, "cls has no id"))?;
            Ok(vec![id])
        }
        "Sequence" => {
            let parts = processor["processors"].as_array();
            let parts = parts.ok_or_else(|| damaged(path, "a sequence without processors"))?;
            // A later processor wraps the output of the earlier ones, so its tokens come first.
            parts.iter().rev().try_fold(Vec::new(), |mut ids, part| {
                ids.extend(opening(path, part)?);
                Ok(ids)
            })
        }
        other => Err(Error::unsupported(
            format!("{}: post-processor {other:?}", path.display()),
            "TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing, Sequence",
        )),
    }
}

/// The most tokens that a template may put before a text: more would be an attack on memory.
const MOST: usize = 1024;

/// The special tokens before the text's place in a template.
fn template(path: &Path, processor: &Value) -> Result<Vec<u32>> {
    let places = processor["single"].as_array();
    let places = places.ok_or_else(|| damaged(path, "a template without its single form"))?;
    let mut ids = Vec::new();
    for place in places {
        let Some(name) = place["SpecialToken"]["id"].as_str() else { break };
        let listed = processor["special_tokens"][name]["ids"].as_array();
        if ids.len() + listed.map_or(0, Vec::len) > MOST {
            return Err(damaged(path, &format!("over {MOST} special tokens before a text")));
        }
        let listed: Option<Vec<u32>> = listed.and_then(|ids| ids.iter().map(id).collect());
        ids.extend(listed.ok_or_else(|| damaged(path, &format!("{name:?} has no ids")))?);
    }
    Ok(ids)
}

fn id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn damaged(path: &Path, reason: &str) -> Error {
    Error::file(path, format!("post-processor: {reason}"))
}
