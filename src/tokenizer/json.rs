//! The common form of the parts of tokenizer.json.

use serde_json::Value;

/// The `type` of a part of tokenizer.json; empty if it has none.
pub(super) fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}
