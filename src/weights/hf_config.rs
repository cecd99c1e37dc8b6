//! Hugging Face's config.json.
//!
//! A field that is missing has the default that `transformers` gives that family, since files may
//! leave such fields out.

use serde_json::Value;

use super::FAMILIES;
use super::fields::{Fields, SizeNames, check, check_layers, shared_width};
use super::parts::{HF_GPT2, HF_LLAMA, Names};
use super::rope;
use crate::config::{Biases, Config, Mlp, Norm, Position};
use crate::error::{Error, Result};

/// What a Llama-like family means where its config.json is silent.
struct Defaults {
    vocab: usize,
    kv_heads: Option<usize>,
    head_width: Option<usize>,
    hidden: usize,
    context: usize,
    bos: Option<u32>,
    eos: Option<u32>,
    window: Option<usize>,
}

const LLAMA: Defaults = Defaults {
    vocab: 32_000,
    kv_heads: None,
    head_width: None,
    hidden: 11_008,
    context: 2_048,
    bos: Some(1),
    eos: Some(2),
    window: None,
};

const MISTRAL: Defaults =
    Defaults { kv_heads: Some(8), hidden: 14_336, context: 131_072, window: Some(4_096), ..LLAMA };

const QWEN2: Defaults = Defaults {
    vocab: 151_936,
    kv_heads: Some(32),
    hidden: 22_016,
    context: 32_768,
    bos: None,
    eos: None,
    window: Some(4_096),
    ..LLAMA
};

const QWEN3: Defaults = Defaults { head_width: Some(128), ..QWEN2 };

const LLAMA_SIZES: SizeNames = SizeNames {
    heads: "num_attention_heads",
    kv_heads: "num_key_value_heads",
    head_width: "head_dim",
    rotated: "partial_rotary_factor",
};

/// Reads the configuration, and tells which names the tensors go by.
///
/// `generation` is `generation_config.json`, whose end tokens go first; `tensors` counts what the
/// folder holds.
pub(super) fn read(
    fields: Fields<'_>,
    generation: Option<Fields<'_>>,
    tensors: usize,
) -> Result<(Config, &'static Names)> {
    if let Some(quantized) = fields.object("quantization_config")? {
        let method = quantized.get("quant_method").and_then(Value::as_str).unwrap_or("unknown");
        return Err(Error::unsupported(
            format!("{}: {method} quantisation", fields.path.display()),
            "F32, F16 and BF16 in safetensors; quantised weights in GGUF",
        ));
    }
    let family = family(fields)?;
    let (mut config, names) = match family.as_str() {
        "gpt2" => (gpt2(fields, tensors)?, &HF_GPT2),
        "llama" => (llama(fields, family, &LLAMA, tensors)?, &HF_LLAMA),
        "mistral" => (llama(fields, family, &MISTRAL, tensors)?, &HF_LLAMA),
        "qwen2" => (llama(fields, family, &QWEN2, tensors)?, &HF_LLAMA),
        "qwen3" => (llama(fields, family, &QWEN3, tensors)?, &HF_LLAMA),
        other => {
            return Err(Error::unsupported(
                format!("{}: architecture {other}", fields.path.display()),
                FAMILIES,
            ));
        }
    };
    if let Some(generation) = generation {
        if let Some(eos) = generation.ids("eos_token_id", config.vocab)? {
            config.eos = eos;
        }
        if let Some(bos) = generation.ids("bos_token_id", config.vocab)? {
            config.bos = bos.first().copied();
        }
    }
    config.eos.sort_unstable();
    config.eos.dedup();
    Ok((config, names))
}

/// The family: `model_type`, or what the class in `architectures` stands for.
fn family(fields: Fields<'_>) -> Result<String> {
    if let Some(family) = fields.text("model_type")? {
        return Ok(family.to_owned());
    }
    let classes = fields.texts("architectures")?.unwrap_or_default();
    let class = classes.first().ok_or_else(|| fields.bad("model_type", "is missing"))?;
    let known = [
        ("GPT2LMHeadModel", "gpt2"),
        ("GPT2Model", "gpt2"),
        ("LlamaForCausalLM", "llama"),
        ("LlamaModel", "llama"),
        ("MistralForCausalLM", "mistral"),
        ("MistralModel", "mistral"),
        ("Qwen2ForCausalLM", "qwen2"),
        ("Qwen2Model", "qwen2"),
        ("Qwen3ForCausalLM", "qwen3"),
        ("Qwen3Model", "qwen3"),
    ];
    let found = known.iter().find(|(name, _)| name == class);
    Ok(found.map_or(*class, |(_, family)| family).to_owned())
}

/// The ids in a field: its default where it is missing, none where it is null.
fn ids(fields: Fields<'_>, name: &str, vocab: usize, default: Option<u32>) -> Result<Vec<u32>> {
    if fields.raw(name).is_some() {
        return Ok(fields.ids(name, vocab)?.unwrap_or_default());
    }
    Ok(default.filter(|&id| usize::try_from(id).is_ok_and(|id| id < vocab)).into_iter().collect())
}

/// Refuses a value of `name` other than `known`, the first of which is the default.
fn one_of(fields: Fields<'_>, name: &str, known: &[&str]) -> Result<()> {
    match fields.text(name)? {
        Some(given) if !known.contains(&given) => Err(Error::unsupported(
            format!("{}: {name} {given}", fields.path.display()),
            known.join(", "),
        )),
        _ => Ok(()),
    }
}

/// Refuses a flag that changes the computation.
fn only(fields: Fields<'_>, name: &str, supported: bool) -> Result<()> {
    if fields.flag(name, supported)? == supported {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("{}: {name} {}", fields.path.display(), !supported),
        supported.to_string(),
    ))
}

fn gpt2(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    one_of(fields, "activation_function", &["gelu_new", "gelu_pytorch_tanh"])?;
    only(fields, "scale_attn_weights", true)?;
    only(fields, "scale_attn_by_inverse_layer_idx", false)?;
    only(fields, "add_cross_attention", false)?;
    let width = fields.count("n_embd")?.unwrap_or(768);
    let heads = fields.count("n_head")?.unwrap_or(12);
    let layers = fields.count("n_layer")?.unwrap_or(12);
    check_layers(fields, "n_layer", layers, tensors)?;
    let vocab = fields.count("vocab_size")?.unwrap_or(50_257);
    let context = match fields.count("n_positions")? {
        Some(context) => context,
        None => fields.count("n_ctx")?.unwrap_or(1_024),
    };
    let hidden = fields.size("n_inner", 0)?;
    // Two ways of saying that the layers hold attention alone.
    let mlp = match hidden {
        _ if fields.flag("attn_only", false)? => Mlp::None,
        Some(0) => Mlp::None,
        Some(hidden) => Mlp::Gelu { hidden },
        None => Mlp::Gelu { hidden: width.saturating_mul(4) },
    };
    let config = Config {
        architecture: "gpt2".to_owned(),
        vocab,
        layers,
        width,
        heads,
        kv_heads: heads,
        head_width: shared_width(fields, "n_head", width, heads)?,
        context,
        norm: Norm::LayerNorm,
        norm_eps: fields.positive("layer_norm_epsilon")?.unwrap_or(1e-5),
        position: Position::Learned,
        mlp,
        biases: Biases { qkv: true, out: true, mlp: mlp != Mlp::None },
        qk_norm: false,
        windows: vec![None; layers],
        tied_head: fields.flag("tie_word_embeddings", true)?,
        bos: ids(fields, "bos_token_id", vocab, Some(50_256))?.first().copied(),
        eos: ids(fields, "eos_token_id", vocab, Some(50_256))?,
    };
    let sizes =
        SizeNames { heads: "n_head", kv_heads: "n_head", head_width: "n_embd", rotated: "" };
    check(fields, &sizes, &config)?;
    Ok(config)
}

fn llama(
    fields: Fields<'_>,
    architecture: String,
    defaults: &Defaults,
    tensors: usize,
) -> Result<Config> {
    one_of(fields, "hidden_act", &["silu", "swish"])?;
    let width = fields.count("hidden_size")?.unwrap_or(4_096);
    let heads = fields.count("num_attention_heads")?.unwrap_or(32);
    let layers = fields.count("num_hidden_layers")?.unwrap_or(32);
    check_layers(fields, "num_hidden_layers", layers, tensors)?;
    let vocab = fields.count("vocab_size")?.unwrap_or(defaults.vocab);
    let context = fields.count("max_position_embeddings")?.unwrap_or(defaults.context);
    let kv_heads = or_null(fields, "num_key_value_heads", defaults.kv_heads)?.unwrap_or(heads);
    let head_width = match or_null(fields, "head_dim", defaults.head_width)? {
        Some(given) => given,
        None => shared_width(fields, "num_attention_heads", width, heads)?,
    };
    let qwen2 = architecture == "qwen2";
    // Mistral's and Qwen2's layers never read this field.
    let attention_bias = matches!(architecture.as_str(), "llama" | "qwen3")
        && fields.flag("attention_bias", false)?;
    let config = Config {
        vocab,
        layers,
        width,
        heads,
        kv_heads,
        head_width,
        context,
        norm: Norm::RmsNorm,
        norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
        position: Position::Rope(rope::read(fields, head_width, context)?),
        mlp: Mlp::SwiGlu { hidden: fields.count("intermediate_size")?.unwrap_or(defaults.hidden) },
        biases: Biases {
            qkv: qwen2 || attention_bias,
            out: attention_bias,
            mlp: architecture == "llama" && fields.flag("mlp_bias", false)?,
        },
        qk_norm: architecture == "qwen3",
        windows: windows(fields, &architecture, defaults.window, layers)?,
        tied_head: fields.flag("tie_word_embeddings", false)?,
        bos: ids(fields, "bos_token_id", vocab, defaults.bos)?.first().copied(),
        eos: ids(fields, "eos_token_id", vocab, defaults.eos)?,
        architecture,
    };
    check(fields, &LLAMA_SIZES, &config)?;
    Ok(config)
}

/// A size: its default where it is missing, `None` where it is null.
fn or_null(fields: Fields<'_>, name: &str, default: Option<usize>) -> Result<Option<usize>> {
    if fields.raw(name).is_some() { fields.count(name) } else { Ok(default) }
}

/// Each layer's sliding window.
fn windows(
    fields: Fields<'_>,
    architecture: &str,
    default: Option<usize>,
    layers: usize,
) -> Result<Vec<Option<usize>>> {
    // Qwen's windows are off unless asked for, and then only the later layers have them.
    let qwen = matches!(architecture, "qwen2" | "qwen3");
    let mut window = or_null(fields, "sliding_window", default)?;
    if qwen && !fields.flag("use_sliding_window", false)? {
        window = None;
    }
    if let Some(kinds) = fields.texts("layer_types")? {
        if kinds.len() != layers {
            let reason = format!("lists {} layers of {layers}", kinds.len());
            return Err(fields.bad("layer_types", reason));
        }
        return kinds
            .into_iter()
            .map(|kind| match kind {
                "full_attention" => Ok(None),
                "sliding_attention" => Ok(window),
                other => Err(Error::unsupported(
                    format!("{}: layer type {other}", fields.path.display()),
                    "full_attention, sliding_attention",
                )),
            })
            .collect();
    }
    let first = if qwen { fields.size("max_window_layers", 0)?.unwrap_or(28) } else { 0 };
    Ok((0..layers).map(|layer| window.filter(|_| layer >= first)).collect())
}
