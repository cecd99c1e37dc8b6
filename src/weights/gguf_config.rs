//! GGUF's metadata: the model's configuration.

use std::sync::Arc;

use super::fields::{Fields, SizeNames, check, check_layers, shared_width};
use super::gguf::Gguf;
use super::parts::{GGUF_GPT2, GGUF_LLAMA, Names};
use super::source::{Entries, Source, room};
use super::{FAMILIES, blocks};
use crate::config::{Biases, Config, Mlp, Norm, Position, Rope, RopeScaling};
use crate::error::{Error, Result};
use crate::names::Format;

const SIZES: SizeNames = SizeNames {
    heads: "attention.head_count",
    kv_heads: "attention.head_count_kv",
    head_width: "attention.key_length",
    rotated: "rope.dimension_count",
};

/// The divisors of the rotary frequencies, one a pair.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// Reads the configuration, and tells which names the tensors go by.
pub(super) fn read(gguf: &mut Gguf, entries: &Entries) -> Result<(Config, &'static Names)> {
    let source = Arc::clone(&gguf.source);
    let path = source.path();
    let missing = || Error::file(path, "general.architecture is missing");
    let plain = Fields { path, prefix: "", map: &gguf.fields };
    let architecture = plain.text("general.architecture")?.ok_or_else(missing)?.to_owned();
    let gpt2 = architecture == "gpt2";
    if !matches!(architecture.as_str(), "gpt2" | "llama" | "qwen2" | "qwen3") {
        return Err(Error::unsupported(
            format!("{}: architecture {architecture}", path.display()),
            FAMILIES,
        ));
    }
    let prefix = format!("{architecture}.");
    for key in ["attention.head_count", "attention.head_count_kv", "feed_forward_length"] {
        gguf.level(&format!("{prefix}{key}"))?;
    }
    let tokens = gguf.len("tokenizer.ggml.tokens");
    let plain = Fields { path, prefix: "", map: &gguf.fields };
    let fields = Fields { path, prefix: &prefix, map: &gguf.fields };

    let width = fields.need("embedding_length")?;
    let layers = fields.need("block_count")?;
    check_layers(fields, "block_count", layers, entries.len())?;
    let heads = fields.need(SIZES.heads)?;
    let head_width = match fields.count(SIZES.head_width)? {
        Some(given) => given,
        None => shared_width(fields, SIZES.heads, width, heads)?,
    };
    if fields.count("attention.value_length")?.is_some_and(|values| values != head_width) {
        return Err(fields.bad("attention.value_length", "differs from the keys' length"));
    }
    let vocab = match (fields.count("vocab_size")?, tokens) {
        (Some(given), _) => given,
        (None, Some(tokens)) => usize::try_from(tokens)
            .map_err(|_| plain.bad("tokenizer.ggml.tokens", "is too long"))?,
        (None, None) => entries
            .get("token_embd.weight")
            .and_then(|embed| usize::try_from(*embed.shape.first()?).ok())
            .ok_or_else(|| fields.bad("vocab_size", "is missing"))?,
    };
    let eps =
        if gpt2 { "attention.layer_norm_epsilon" } else { "attention.layer_norm_rms_epsilon" };
    let mlp = if gpt2 {
        match fields.size("feed_forward_length", 0)? {
            Some(0) => Mlp::None,
            Some(hidden) => Mlp::Gelu { hidden },
            None => Mlp::Gelu { hidden: width.saturating_mul(4) },
        }
    } else {
        Mlp::SwiGlu { hidden: fields.need("feed_forward_length")? }
    };
    // The metadata is silent about biases: the tensors tell.
    let biased = |name: &str| gpt2 || entries.contains_key(&format!("blk.0.{name}.bias"));
    let window = fields.size("attention.sliding_window", 0)?.filter(|window| *window > 0);
    if window.is_some() && has(gguf, fields, "attention.sliding_window_pattern") {
        return Err(Error::unsupported(
            format!("{}: a sliding window that differs between layers", path.display()),
            "one window for all layers",
        ));
    }
    let mut eos = Vec::new();
    for key in ["eos", "eot", "eom"] {
        eos.extend(
            plain.ids(&format!("tokenizer.ggml.{key}_token_id"), vocab)?.unwrap_or_default(),
        );
    }
    eos.sort_unstable();
    eos.dedup();
    let bos = plain.ids("tokenizer.ggml.bos_token_id", vocab)?.and_then(|ids| ids.first().copied());

    let config = Config {
        vocab,
        layers,
        width,
        heads,
        kv_heads: fields.count(SIZES.kv_heads)?.unwrap_or(heads),
        head_width,
        context: fields.need("context_length")?,
        norm: if gpt2 { Norm::LayerNorm } else { Norm::RmsNorm },
        norm_eps: fields.positive(eps)?.ok_or_else(|| fields.bad(eps, "is missing"))?,
        position: if gpt2 {
            Position::Learned
        } else {
            Position::Rope(rope(fields, &source, entries, head_width)?)
        },
        mlp,
        biases: Biases {
            qkv: architecture == "qwen2" || biased("attn_q"),
            out: biased("attn_output"),
            mlp: biased("ffn_up"),
        },
        qk_norm: architecture == "qwen3",
        windows: vec![window; layers],
        tied_head: !entries.contains_key("output.weight"),
        bos,
        eos,
        architecture,
    };
    check(fields, &SIZES, &config)?;
    Ok((config, if gpt2 { &GGUF_GPT2 } else { &GGUF_LLAMA }))
}

/// Whether the metadata has this key, as a scalar or an array.
fn has(gguf: &Gguf, fields: Fields<'_>, name: &str) -> bool {
    fields.get(name).is_some() || gguf.len(&format!("{}{name}", fields.prefix)).is_some()
}

fn rope(fields: Fields<'_>, source: &Source, entries: &Entries, head_width: usize) -> Result<Rope> {
    let linear = match fields.text("rope.scaling.type")? {
        Some("none") => None,
        // The older key says the same.
        None | Some("linear") => match fields.positive("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => fields.positive("rope.scale_linear")?,
        },
        Some(other) => {
            return Err(Error::unsupported(
                format!("{}: rotary scaling {other}", fields.path.display()),
                "none, linear, and factors for each pair (rope_freqs.weight)",
            ));
        }
    };
    let rotated = fields.count(SIZES.rotated)?.unwrap_or(head_width);
    let scaling = match (factors(source, entries, rotated)?, linear) {
        (Some(factors), Some(linear)) => {
            RopeScaling::Factors(factors.iter().map(|f| (f64::from(*f) * linear) as f32).collect())
        }
        (Some(factors), None) => RopeScaling::Factors(factors),
        (None, Some(factor)) => RopeScaling::Linear { factor },
        (None, None) => RopeScaling::None,
    };
    let base = fields.positive("rope.freq_base")?.unwrap_or(10_000.0);
    Ok(Rope { base, rotated, scaling })
}

fn factors(source: &Source, entries: &Entries, rotated: usize) -> Result<Option<Vec<f32>>> {
    let Some(entry) = entries.get(ROPE_FACTORS) else { return Ok(None) };
    let bad = |reason: String| Error::tensor(source.path(), ROPE_FACTORS, reason);
    let pairs = rotated / 2;
    if entry.shape != [pairs as u64] || entry.format != Some(Format::F32) {
        return Err(bad(format!(
            "is {:?} of {}, but must be [{pairs}] of F32",
            entry.shape, entry.kind
        )));
    }
    let mut bytes = room(pairs, 4, source.path(), ROPE_FACTORS)?;
    source.read_at(entry.offset, &mut bytes)?;
    let factors = blocks::dequantize(Format::F32, &bytes);
    match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        Some(factor) => Err(bad(format!("holds {factor}; a divisor must be above 0"))),
        None => Ok(Some(factors)),
    }
}
