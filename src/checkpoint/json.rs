//! JSON as programs in Python write it, with numbers that JSON does not have.
//!
//! `Infinity`, `-Infinity`, `NaN` and numbers beyond f64 become objects such as
//! `{"__float__": "NaN"}`, which is how newer files spell them. So they stop nobody who does not
//! need them, and whoever does finds no number.

use serde_json::{Map, Value, json};

/// The key of an object that stands for a number.
const FLOAT: &str = "__float__";

/// The key of an object that stands for text that is not UTF-8.
const BYTES: &str = "__bytes__";

/// Reads an object.
pub(crate) fn parse(text: &str) -> serde_json::Result<Map<String, Value>> {
    serde_json::from_str(text).or_else(|refusal| match with_marks(text) {
        // A number alone is no object, though what stands for it is one.
        Some(marked) if text.trim_start().starts_with('{') => serde_json::from_str(&marked),
        _ => Err(refusal),
    })
}

/// A number; if it is not finite, an object that stands for it.
pub(super) fn number(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or_else(|| mark(name(number)), Value::Number)
}

/// An object that stands for text that is not UTF-8.
pub(super) fn not_text(bytes: &[u8]) -> Value {
    json!({ BYTES: String::from_utf8_lossy(bytes) })
}

/// Whether an object stands for something that JSON cannot hold.
pub(super) fn is_mark(value: &Value) -> bool {
    let one = value.as_object().filter(|object| object.len() == 1);
    one.is_some_and(|object| object.contains_key(FLOAT) || object.contains_key(BYTES))
}

/// A value as errors show it.
pub(super) fn shown(value: &Value) -> String {
    if is_mark(value) {
        let name = value.get(FLOAT).and_then(Value::as_str);
        return name.unwrap_or("text that is not UTF-8").to_owned();
    }
    let text = match value {
        Value::Array(all) => {
            format!("[{}]", all.iter().take(30).map(shown).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    };
    text.chars().take(60).collect()
}

fn mark(name: &str) -> Value {
    json!({ FLOAT: name })
}

fn name(number: f64) -> &'static str {
    match number {
        _ if number.is_nan() => "NaN",
        _ if number > 0.0 => "Infinity",
        _ => "-Infinity",
    }
}

/// The text with an object in place of each number that is not finite; `None` if it has none.
fn with_marks(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 64);
    let (mut rest, mut changed) = (text, false);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest),
            _ if in_word(first) => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        rest = after;
        // Other words, such as `null`, are no numbers; Rust would also read `inf`.
        let is_number = matches!(piece, "NaN" | "Infinity" | "-Infinity")
            || piece.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        match piece.parse::<f64>() {
            Ok(number) if is_number && !number.is_finite() => {
                out.push_str(&mark(name(number)).to_string());
                changed = true;
            }
            _ => out.push_str(piece),
        }
    }
    changed.then_some(out)
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// The length of the string that a text starts with, both quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_have_become_marks() {
        let text = r#"{"a": [0.0, Infinity, -Infinity], "NaN": NaN, "b": "x \" NaN \\", "c": 1e400,
                       "d": -1e999, "e": {"f": NaN}, "g": 1e308, "h": null}"#;
        let map = parse(text).unwrap();
        let shown = |value: &Value| shown(value);
        assert_eq!(map["a"][0], 0.0);
        assert_eq!([&map["a"][1], &map["a"][2]].map(shown), ["Infinity", "-Infinity"]);
        assert_eq!(
            [&map["NaN"], &map["c"], &map["d"]].map(shown),
            ["NaN", "Infinity", "-Infinity"]
        );
        assert_eq!((map["b"].as_str(), &map["g"]), (Some("x \" NaN \\"), &json!(1e308)));
        assert!(is_mark(&map["e"]["f"]) && map["h"].is_null() && !is_mark(&map["e"]));
        // What newer files say reads as the same.
        assert_eq!(parse(r#"{"x": {"__float__": "NaN"}}"#).unwrap()["x"], map["NaN"]);
        for broken in
            ["{\"a\": inf}", "{\"a\": nan}", "{\"a\": Infinity", "{\"a\": \"Infinity", "NaN"]
        {
            parse(broken).unwrap_err();
        }
    }
}
