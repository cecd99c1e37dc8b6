//! GGUF's metadata: the model's configuration.

use std::sync::Arc;

use super::file::Gguf;
use crate::checkpoint::fields::{Fields, SizeNames, check, check_layers, shared_width};
use crate::checkpoint::format::blocks;
use crate::checkpoint::source::{Entries, Source, room};
use crate::checkpoint::tensor_names::{FAMILIES, GGUF_GPT2, GGUF_LLAMA, GGUF_PHI3, Names};
use crate::config::{
    Biases, Config, LayerKind, Mlp, Nonlinearity, Norm, Position, Rope, RopeScaling,
};
use crate::error::{Error, Result};
use crate::format::Format;

const SIZES: SizeNames = SizeNames {
    heads: "attention.head_count",
    kv_heads: "attention.head_count_kv",
    head_width: "attention.key_length",
    rotated: "rope.dimension_count",
};

/// The tensors of divisors for the rotary frequencies, one per pair; and the two sets of LongRoPE.
const ROPE_FACTORS: &str = "rope_freqs.weight";
const SHORT_FACTORS: &str = "rope_factors_short.weight";
const LONG_FACTORS: &str = "rope_factors_long.weight";

/// Reads the configuration; returns it with the family's tensor names.
pub(in crate::checkpoint) fn read(
    gguf: &mut Gguf,
    entries: &Entries,
) -> Result<(Config, &'static Names)> {
    let source = Arc::clone(&gguf.source);
    let path = source.path();
    let missing = || Error::file(path, "general.architecture is missing");
    let plain = gguf.fields("");
    let architecture = plain.text("general.architecture")?.ok_or_else(missing)?.to_owned();
    let gpt2 = architecture == "gpt2";
    no_experts(gguf, &architecture, entries)?;
    let names = match architecture.as_str() {
        "gpt2" => &GGUF_GPT2,
        "llama" | "qwen2" | "qwen3" | "gemma2" | "gemma3" => &GGUF_LLAMA,
        "phi3" => &GGUF_PHI3,
        _ => {
            return Err(Error::unsupported(
                format!("{}: architecture {architecture}", path.display()),
                FAMILIES,
            ));
        }
    };
    let gemma = architecture.starts_with("gemma");
    let prefix = format!("{architecture}.");
    for key in ["attention.head_count", "attention.head_count_kv", "feed_forward_length"] {
        gguf.level(&format!("{prefix}{key}"))?;
    }
    let tokens = gguf.len("tokenizer.ggml.tokens");
    let (plain, fields) = (gguf.fields(""), gguf.fields(&prefix));

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
    if let (Some(given), Some(tokens)) = (fields.count("vocab_size")?, tokens)
        && given as u64 != tokens
    {
        let what = format!("{given} takes precedence: tokenizer.ggml.tokens holds {tokens}");
        fields.note("vocab_size", what);
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
    let (eps, other) = match ("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon") {
        (whole, root) if gpt2 => (whole, root),
        (whole, root) => (root, whole),
    };
    fields.unused(other, unread(&architecture));
    let mlp = if gpt2 {
        match fields.size("feed_forward_length", 0)? {
            Some(0) => Mlp::None,
            hidden => Mlp::Plain {
                hidden: hidden.unwrap_or(width.saturating_mul(4)),
                function: Nonlinearity::GeluTanh,
            },
        }
    } else {
        let function = if gemma { Nonlinearity::GeluTanh } else { Nonlinearity::Silu };
        Mlp::Gated { hidden: fields.need("feed_forward_length")?, function }
    };
    // The metadata does not mention biases, so the tensors decide.
    let biased = |name: &str| gpt2 || entries.contains_key(&format!("blk.0.{name}.bias"));
    let windowed = gemma || architecture == "phi3";
    let window = fields.size("attention.sliding_window", 0)?.filter(|size| *size > 0 && windowed);
    if !windowed {
        fields.unused("attention.sliding_window", unread(&architecture));
    }
    let pattern = if gemma { fields.count("attention.sliding_window_pattern")? } else { None };
    if window.is_some()
        && pattern.is_none()
        && has(gguf, fields, "attention.sliding_window_pattern")
    {
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

    let mut config = Config {
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
            head: false,
        },
        qk_norm: matches!(architecture.as_str(), "qwen3" | "gemma3"),
        kinds: vec![LayerKind { window, rope: None }; layers],
        tied_head: !entries.contains_key("output.weight"),
        bos,
        eos,
        architecture,
        ..Config::default()
    };
    if gemma {
        complete_gemma(fields, pattern, &mut config)?;
    }
    check(fields, &SIZES, &config)?;
    Ok((config, names))
}

/// Why a key is not used.
fn unread(architecture: &str) -> String {
    format!("models of type {architecture} do not read it")
}

/// Rejects mixtures of experts by that name: by the number of experts, or by their tensors.
fn no_experts(gguf: &Gguf, architecture: &str, entries: &Entries) -> Result<()> {
    let prefix = format!("{architecture}.");
    let fields = gguf.fields(&prefix);
    let count = fields.size("expert_count", 0)?.filter(|count| *count > 0);
    let of_experts = |name: &&String| {
        ["_exps.", ".ffn_gate_inp.", ".ffn_gate.0."].iter().any(|part| name.contains(part))
    };
    let words = match (count, entries.keys().filter(of_experts).min()) {
        (Some(count), _) => format!("{prefix}expert_count {count}"),
        (None, Some(tensor)) => format!("tensor {tensor}"),
        (None, None) => return Ok(()),
    };
    Err(Error::unsupported(
        format!("{}: a mixture of experts ({words})", fields.path.display()),
        format!("models with one MLP in each layer: {FAMILIES}"),
    ))
}

/// What files of Gemma 2 and 3 leave out, and their soft caps.
fn complete_gemma(fields: Fields<'_>, pattern: Option<usize>, config: &mut Config) -> Result<()> {
    let second = config.architecture == "gemma2";
    config.embed_scale = Some((config.width as f64).sqrt() as f32);
    config.post_norms = true;
    // The largest model of each generation, known by its layers, scales by 1/√(width / heads).
    if config.layers == if second { 46 } else { 62 } {
        config.attention_scale = Some((config.width as f64 / config.heads as f64).powf(-0.5));
    }
    let cap = |name: &str, default| Ok::<_, Error>(fields.positive(name)?.or(default));
    config.attention_softcap = cap("attn_logit_softcapping", second.then_some(50.0))?;
    config.logit_softcap = cap("final_logit_softcapping", second.then_some(30.0))?;
    // In Gemma 2 every second layer has global attention, in Gemma 3 every sixth.
    let pattern = pattern.unwrap_or(if second { 2 } else { 6 });
    let window = config.window(0).or(second.then_some(4_096));
    let sees_all = |layer: usize| (layer + 1).is_multiple_of(pattern);
    config.set_windows((0..config.layers).map(|layer| window.filter(|_| !sees_all(layer))));
    if !second && let Position::Rope(rope) = &config.position {
        let base = fields.positive("rope.freq_base_swa")?.unwrap_or(10_000.0);
        let local = Rope { base, scaling: RopeScaling::None, ..rope.clone() };
        if let Some(fault) = local.fault(config.context) {
            return Err(fields.bad("rope.freq_base_swa", fault));
        }
        for kind in config.kinds.iter_mut().filter(|kind| kind.window.is_some()) {
            kind.rope = Some(local.clone());
        }
    }
    Ok(())
}

/// Whether the metadata has this key, as a scalar or an array.
fn has(gguf: &Gguf, fields: Fields<'_>, name: &str) -> bool {
    fields.get(name).is_some() || gguf.len(&format!("{}{name}", fields.prefix)).is_some()
}

/// The rotation, whose numbers fit into f32.
fn rope(fields: Fields<'_>, source: &Source, entries: &Entries, head_width: usize) -> Result<Rope> {
    let base = fields.positive("rope.freq_base")?.unwrap_or(10_000.0);
    let rotated = fields.count(SIZES.rotated)?.unwrap_or(head_width);
    let scaling = scaling(fields, base, &|name| factors(source, entries, name, rotated))?;
    let rope = Rope { base, rotated, scaling };
    let Some(fault) = rope.fault(fields.need("context_length")?) else { return Ok(rope) };
    Err(match &rope.scaling {
        RopeScaling::Factors(_) => Error::tensor(source.path(), ROPE_FACTORS, fault),
        RopeScaling::Long { .. } => Error::tensor(source.path(), SHORT_FACTORS, fault),
        RopeScaling::None => fields.bad("rope.freq_base", fault),
        _ => fields.bad("rope.scaling.factor", fault),
    })
}

/// The divisors in a tensor of this name, if there is one.
type Divisors<'a> = &'a dyn Fn(&str) -> Result<Option<Vec<f32>>>;

fn scaling(fields: Fields<'_>, base: f64, factors: Divisors<'_>) -> Result<RopeScaling> {
    let kind = fields.text("rope.scaling.type")?;
    // The older key has the same meaning.
    fields.two_spellings("rope.scaling.factor", "rope.scale_linear");
    if let (Some(short), Some(long)) = (factors(SHORT_FACTORS)?, factors(LONG_FACTORS)?) {
        let original_context = fields.need("rope.scaling.original_context_length")?;
        let amplitude = fields.positive("rope.scaling.attn_factor")?.unwrap_or(1.0);
        return Ok(RopeScaling::Long { short, long, original_context, amplitude });
    }
    if kind == Some("yarn") {
        return yarn(fields, base);
    }
    let linear = match kind {
        Some("none") => {
            for key in ["rope.scaling.factor", "rope.scale_linear"] {
                if fields.finite(key)?.is_some_and(|factor| factor > 1.0) {
                    fields.unused(key, "rope.scaling.type is none");
                }
            }
            None
        }
        None | Some("linear") => match fields.positive("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => fields.positive("rope.scale_linear")?,
        },
        Some(other) => {
            return Err(Error::unsupported(
                format!("{}: rotary scaling {other}", fields.path.display()),
                "none, linear, yarn, and factors for each pair (rope_freqs.weight, \
                 rope_factors_short.weight with rope_factors_long.weight)",
            ));
        }
    };
    Ok(match (factors(ROPE_FACTORS)?, linear) {
        (Some(factors), Some(linear)) => {
            RopeScaling::Factors(factors.iter().map(|f| (f64::from(*f) * linear) as f32).collect())
        }
        (Some(factors), None) => RopeScaling::Factors(factors),
        (None, Some(factor)) => RopeScaling::Linear { factor },
        (None, None) => RopeScaling::None,
    })
}

/// YaRN: Peng et al. 2023.
fn yarn(fields: Fields<'_>, base: f64) -> Result<RopeScaling> {
    let missing = |key: &str| fields.bad(key, "is missing, though the rotary scaling is yarn");
    let factor = fields.positive("rope.scaling.factor")?;
    let factor = factor.ok_or_else(|| missing("rope.scaling.factor"))?;
    let original = match fields.positive("rope.scaling.original_context_length")? {
        Some(original) => original,
        None => fields.need("context_length")? as f64,
    };
    let number = |key: &str, default: f64| Ok::<_, Error>(fields.positive(key)?.unwrap_or(default));
    let elsewhere = "YaRN is computed as in its paper, with rope.scaling.attn_factor on top";
    let neutral =
        [("yarn_ext_factor", 1.0), ("yarn_attn_factor", 1.0), ("yarn_log_multiplier", 0.0)];
    for (key, neutral) in neutral.map(|(key, number)| (format!("rope.scaling.{key}"), number)) {
        if fields.finite(&key)?.is_some_and(|factor| factor != neutral) {
            fields.unused(&key, elsewhere);
        }
    }
    let fast = number("rope.scaling.yarn_beta_fast", 32.0)?;
    let slow = number("rope.scaling.yarn_beta_slow", 1.0)?;
    if base <= 1.0 || slow > fast {
        let reason = "yarn needs a base above 1, and yarn_beta_slow up to yarn_beta_fast";
        return Err(fields.bad("rope.scaling.type", reason));
    }
    let longer = if factor <= 1.0 { 1.0 } else { 0.1 * factor.ln() + 1.0 };
    Ok(RopeScaling::Yarn {
        factor,
        fast,
        slow,
        original_context: original,
        whole: true,
        // The key is an additional factor, on top of the one that YaRN derives.
        amplitude: longer * number("rope.scaling.attn_factor", 1.0)?,
    })
}

fn factors(
    source: &Source,
    entries: &Entries,
    name: &str,
    rotated: usize,
) -> Result<Option<Vec<f32>>> {
    let Some(entry) = entries.get(name) else { return Ok(None) };
    let bad = |reason: String| Error::tensor(source.path(), name, reason);
    let pairs = rotated / 2;
    if entry.shape != [pairs as u64] || entry.format != Some(Format::F32) {
        return Err(bad(format!(
            "is {:?} of {}, but must be [{pairs}] of F32",
            entry.shape, entry.kind
        )));
    }
    let mut bytes = room(pairs, 4, source.path(), name)?;
    source.read_at(entry.offset, &mut bytes)?;
    let factors = blocks::dequantize(Format::F32, &bytes);
    match factors.iter().find(|factor| !(factor.is_finite() && **factor > 0.0)) {
        Some(factor) => Err(bad(format!("holds {factor}; a divisor must be above 0"))),
        None => Ok(Some(factors)),
    }
}
