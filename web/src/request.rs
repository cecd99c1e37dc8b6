//! The options of a script, by the names that scripts use.

use std::sync::Arc;

use pellucid::config::Config;
use pellucid::format::Format;
use pellucid::generate::{Backend, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::ops::CacheFormat;
use pellucid::sampling::Sampling;
use pellucid::tune::KeyValueStorage;
use serde::Deserialize;

use crate::inspect::{Changes, Steer};
use crate::value::{Result, fault};

/// How a model is loaded.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Loading {
    /// Context length; the default is the model's own, at most 4,096.
    context: Option<usize>,
    /// `gpu`, `cpu` or `auto`: a GPU if there is one. The default is `auto`.
    backend: Option<String>,
    /// `f32` or `f16`, which halves the KV cache.
    cache_type: Option<String>,
    /// `q8_0` or `q4_0`.
    quantize: Option<String>,
    /// The largest binding in bytes; for tests.
    max_binding: Option<u64>,
}

impl Loading {
    /// The library's options; `storage` keeps the adapter's record.
    pub(crate) fn options(self, storage: Arc<dyn KeyValueStorage>) -> Result<Options> {
        let unknown = |name: &str, value: &str, known: &str| {
            Err(fault("input", &format!("{name} must be {known}, not {value}")))
        };
        let choice = AdapterChoice { max_binding: self.max_binding, ..AdapterChoice::default() };
        let backend = match self.backend.as_deref() {
            None | Some("auto") => Backend::Auto(choice),
            Some("gpu") => Backend::Gpu(choice),
            Some("cpu") => Backend::Cpu,
            Some(other) => return unknown("the backend", other, "gpu, cpu or auto"),
        };
        let cache = match self.cache_type.as_deref() {
            None | Some("f32") => CacheFormat::F32,
            Some("f16") => CacheFormat::F16,
            Some(other) => return unknown("the cache type", other, "f32 or f16"),
        };
        let quantize = match self.quantize.as_deref() {
            None => None,
            Some("q8_0") => Some(Format::Q8_0),
            Some("q4_0") => Some(Format::Q4_0),
            Some(other) => return unknown("quantize", other, "q8_0 or q4_0"),
        };
        let (context, storage) = (self.context, Some(storage));
        Ok(Options { backend, cache, quantize, context, storage, ..Options::default() })
    }
}

/// What to generate.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asked {
    max_new_tokens: Option<usize>,
    stop: Vec<String>,
    ignore_eos: bool,
    logprobs: Option<usize>,
    reuse_prefix: bool,
    #[serde(with = "Settings")]
    sampling: Sampling,
    edits: Vec<String>,
    ablate: Vec<String>,
    steer: Vec<Steer>,
}

/// [`Sampling`], by the names that scripts use.
#[derive(Deserialize)]
#[serde(remote = "Sampling", default = "Sampling::default")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Settings {
    repetition_penalty: f32,
    presence_penalty: f32,
    frequency_penalty: f32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    seed: u64,
}

/// Sampling settings on their own.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Drawing(#[serde(with = "Settings")] pub(crate) Sampling);

impl Asked {
    /// The request to a model of this kind, for a prompt of so many tokens.
    pub(crate) fn request(self, config: &Config, prompt: usize) -> Result<Request> {
        let (asked, default) = (self, Request::default());
        let changes = Changes { edits: asked.edits, ablate: asked.ablate, steer: asked.steer };
        Ok(Request {
            edits: changes.resolve(config, prompt)?,
            max_new_tokens: asked.max_new_tokens.unwrap_or(default.max_new_tokens),
            sampling: asked.sampling,
            stop: asked.stop,
            ignore_eos: asked.ignore_eos,
            logprobs: asked.logprobs,
            reuse_prefix: asked.reuse_prefix,
            ..default
        })
    }
}
