//! Values between Rust and JavaScript.

use js_sys::{JSON, Reflect};
use pellucid::{Error, Remedy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

/// The result of what JavaScript calls; its error is an `Error` with a `kind`.
pub(crate) type Result<T> = std::result::Result<T, JsValue>;

/// A plain object; numbers that are not finite become null.
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

/// An `Error` whose `kind` scripts can test.
pub(crate) fn fault(kind: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    // A fresh object takes any property.
    let _ = Reflect::set(&error, &"kind".into(), &kind.into());
    error.into()
}

/// An error of the library as a JavaScript error, with remedies in terms of the page.
pub(crate) fn to_js_error(error: Error) -> JsValue {
    let kind = match &error {
        Error::Io { .. } | Error::File { .. } | Error::Tensor { .. } => "file",
        Error::Unsupported { .. } => "unsupported",
        Error::Context { .. } => "context",
        Error::Adapter { .. } => "adapter",
        Error::Device(_) | Error::Wrong { .. } | Error::NotFinite { .. } => "device",
        Error::Lost(_) => "lost",
        Error::Diverged { .. } => "diverged",
        Error::Memory { .. } => "memory",
        _ => "input",
    };
    fault(kind, &error.message(remedy))
}

/// A remedy, by the names of a page's options.
fn remedy(remedy: Remedy) -> String {
    let words = match remedy {
        Remedy::ShorterText => "shorten the text",
        Remedy::LongerContext => "use a longer context",
        Remedy::ShorterContext { fits: Some(fits) } => {
            return format!("use a shorter context (at most {fits} fits)");
        }
        Remedy::ShorterContext { fits: None } => "use a shorter context",
        Remedy::CacheF16 => "use the cache type f16",
        Remedy::CacheF32 => "use the cache type f32",
        Remedy::WeightsQ4 { bytes } => {
            return format!("quantize to q4_0 (weights of {} MiB)", bytes.div_ceil(1 << 20));
        }
        Remedy::LessMemory => {
            "use less memory: a shorter context, the cache type f16, a model quantized to q8_0, or for \
             training a smaller batch"
        }
        Remedy::FewerSequences => "run fewer sequences at once",
        Remedy::FewerValues => "ask for fewer values at once",
        Remedy::SmallerBatch => "use a smaller batch",
        // A page always trains with moments.
        Remedy::PlainDescent | Remedy::SmallerModel => "use a smaller model",
        Remedy::LowerRate => "lower the learning rate",
        Remedy::LongerWarmup => "use a longer warm-up",
        Remedy::ClipGradients => "set clip to 1",
        Remedy::RunAgain => "try again",
        Remedy::OnCpu => "use the reference, on the CPU",
        Remedy::OpenGl | Remedy::InstallDriver => "use a browser and a system with WebGPU",
        Remedy::UpdateDriver => "update its driver",
        Remedy::OtherAdapter => "let the browser use another adapter",
    };
    words.to_owned()
}
