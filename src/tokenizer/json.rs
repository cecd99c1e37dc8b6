//! What the parts of tokenizer.json have in common.

use serde_json::Value;

/// The `type` of a part of tokenizer.json; empty where it names none.
pub(super) fn kind(part: &Value) -> &str {
    part["type"].as_str().unwrap_or_default()
}
