//! The common form of the parts of tokenizer.json.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;

/// The `type` of a part of tokenizer.json; empty if it has none.
pub(super) fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}

/// Reads a whole text file; errors name a missing file and one that is not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let bytes = files::read(path)?;
    String::from_utf8(bytes).map_err(|error| {
        Error::file(path, format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}
