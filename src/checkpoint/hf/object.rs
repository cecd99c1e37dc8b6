//! A folder's files of JSON, each with one object.

use serde_json::{Map, Value};

use crate::checkpoint::json;
use crate::error::{Error, Result};
use crate::files::Files;

/// The longest JSON file that is read, in bytes: the index of the largest models has tens of
/// megabytes.
pub(super) const LONGEST_JSON: u64 = 64 << 20;

/// The object in a file.
pub(super) fn object(files: &Files, name: &str) -> Result<Map<String, Value>> {
    let text = files.text(name, LONGEST_JSON)?;
    let bad = |e| Error::file(files.path().join(name), format!("is not valid JSON: {e}"));
    json::parse(&text).map_err(bad)
}

/// The object in a file that need not be there.
pub(super) fn optional(files: &Files, name: &str) -> Result<Option<Map<String, Value>>> {
    if files.has(name) { object(files, name).map(Some) } else { Ok(None) }
}
