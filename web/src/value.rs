//! Values between Rust and JavaScript.

use js_sys::{JSON, Reflect};
use pellucid::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

/// The result of what JavaScript calls; its error is an `Error` with a `kind`.
pub(crate) type Result<T> = std::result::Result<T, JsValue>;

/// A plain object; numbers that are none are null.
pub(crate) fn plain(value: &impl Serialize) -> Result<JsValue> {
    let text = serde_json::to_string(value).map_err(|error| fault("input", &error.to_string()))?;
    JSON::parse(&text)
}

/// Reads a plain object; `undefined` is an empty one.
pub(crate) fn read<T: DeserializeOwned>(what: &str, value: &JsValue) -> Result<T> {
    let text = if value.is_undefined() { "{}".into() } else { JSON::stringify(value)? };
    let text: String = text.into();
    serde_json::from_str(&text).map_err(|error| fault("input", &format!("{what}: {error}")))
}

/// An `Error` of a kind that scripts can tell from others.
pub(crate) fn fault(kind: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    // A fresh object takes any property.
    let _ = Reflect::set(&error, &"kind".into(), &kind.into());
    error.into()
}

/// An error of the library, in the words of the page: options are no flags there.
pub(crate) fn told(error: Error) -> JsValue {
    let kind = match &error {
        Error::Io { .. } | Error::File { .. } | Error::Tensor { .. } => "file",
        Error::Unsupported { .. } => "unsupported",
        Error::Context { .. } => "context",
        Error::Adapter(_) => "adapter",
        Error::Device(_) => "device",
        Error::Lost(_) => "lost",
        Error::Diverged { .. } => "diverged",
        Error::Memory(_) => "memory",
        _ => "input",
    };
    let message = error.to_string().replace("--backend cpu", "the reference, on the CPU");
    fault(kind, &unflagged(&message))
}

/// The sentence with its flags as words: `--cache-type` is the cache type.
fn unflagged(message: &str) -> String {
    let mut words = Vec::new();
    for word in message.split(' ') {
        match word.strip_prefix("--") {
            Some(flag) => words.push(flag.replace('-', " ")),
            None => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}
