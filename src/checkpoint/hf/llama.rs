//! config.json of Llama and its relatives: RMS norms, rotary embedding, gated MLP.

use crate::checkpoint::fields::{
    Fields, SizeNames, check, check_layers, function, ids, listed_windows, only, or_null,
    shared_width,
};
use crate::checkpoint::rope::{self, Original, Terms};
use crate::config::{Biases, Config, LayerKind, Mlp, Nonlinearity, Norm, Position};
use crate::error::Result;

/// The defaults of a family for its config.json.
struct Defaults {
    vocab: usize,
    width: usize,
    heads: usize,
    kv_heads: Option<usize>,
    layers: usize,
    head_width: Option<usize>,
    hidden: usize,
    context: usize,
    eps: f64,
    bos: Option<u32>,
    eos: Option<u32>,
    window: Option<usize>,
    tied: bool,
    /// The name of the activation field, and the function.
    function: (&'static str, Nonlinearity),
}

const LLAMA: Defaults = Defaults {
    vocab: 32_000,
    width: 4_096,
    heads: 32,
    kv_heads: None,
    layers: 32,
    head_width: None,
    hidden: 11_008,
    context: 2_048,
    eps: 1e-6,
    bos: Some(1),
    eos: Some(2),
    window: None,
    tied: false,
    function: ("hidden_act", Nonlinearity::Silu),
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

const PHI3: Defaults = Defaults {
    vocab: 32_064,
    width: 3_072,
    hidden: 8_192,
    context: 4_096,
    eps: 1e-5,
    eos: Some(32_000),
    ..LLAMA
};

const GEMMA2: Defaults = Defaults {
    vocab: 256_000,
    width: 2_304,
    heads: 8,
    kv_heads: Some(4),
    layers: 26,
    head_width: Some(256),
    hidden: 9_216,
    context: 8_192,
    bos: Some(2),
    eos: Some(1),
    window: Some(4_096),
    tied: true,
    function: ("hidden_activation", Nonlinearity::GeluTanh),
    ..LLAMA
};

const GEMMA3: Defaults = Defaults { vocab: 262_208, context: 131_072, ..GEMMA2 };

const SIZES: SizeNames = SizeNames {
    heads: "num_attention_heads",
    kv_heads: "num_key_value_heads",
    head_width: "head_dim",
    rotated: "partial_rotary_factor",
};

/// Llama, Mistral, Qwen2 and Qwen3.
pub(in crate::checkpoint) fn llama(
    fields: Fields<'_>,
    family: &str,
    tensors: usize,
) -> Result<Config> {
    let defaults = match family {
        "mistral" => &MISTRAL,
        "qwen2" => &QWEN2,
        "qwen3" => &QWEN3,
        _ => &LLAMA,
    };
    let mut config = plain(fields, family, defaults, tensors)?;
    // The layers of Mistral and Qwen2 never read this field.
    let attention_bias =
        matches!(family, "llama" | "qwen3") && fields.flag("attention_bias", false)?;
    config.biases = Biases {
        qkv: family == "qwen2" || attention_bias,
        out: attention_bias,
        mlp: family == "llama" && fields.flag("mlp_bias", false)?,
        head: false,
    };
    config.qk_norm = family == "qwen3";
    let windows = match family {
        "mistral" => {
            let window = one_window(fields, family, defaults.window)?;
            let listed = listed_windows(fields, window, config.layers)?;
            listed.unwrap_or_else(|| vec![window; config.layers])
        }
        "qwen2" | "qwen3" => later_windows(fields, defaults.window, config.layers)?,
        _ => no_windows(fields, family, config.layers)?,
    };
    config.set_windows(windows);
    Ok(config)
}

/// Why a field is not used.
fn unread(family: &str) -> String {
    format!("models of type {family} do not read it")
}

/// Each layer's sliding window.
type Windows = Vec<Option<usize>>;

/// A family without windows.
fn no_windows(fields: Fields<'_>, family: &str, layers: usize) -> Result<Windows> {
    for name in ["sliding_window", "use_sliding_window"] {
        fields.unused(name, unread(family));
    }
    // A length of 1 in place of the file's, to see what is listed.
    let listed = listed_windows(fields, Some(1), layers)?.unwrap_or_default();
    if listed.iter().any(Option::is_some) {
        fields.note("layer_types", format!("is not used: models of type {family} have no window"));
    }
    Ok(vec![None; layers])
}

/// The window of a family that has it in all layers, unless it lists their kinds.
fn one_window(fields: Fields<'_>, family: &str, default: Option<usize>) -> Result<Option<usize>> {
    let window = or_null(fields, "sliding_window", default)?;
    if window.is_some() && !fields.flag("use_sliding_window", true)? {
        fields.note("use_sliding_window", format!("false is not used: {}", unread(family)));
    }
    Ok(window)
}

/// Qwen's windows: off by default; if on, only the later layers have them.
fn later_windows(fields: Fields<'_>, default: Option<usize>, layers: usize) -> Result<Windows> {
    let used = fields.flag("use_sliding_window", false)?;
    let window = or_null(fields, "sliding_window", default)?.filter(|_| used);
    if fields.get("use_sliding_window").is_none() {
        fields.unused("sliding_window", "use_sliding_window, which is not given, would turn it on");
    }
    let first = fields.size("max_window_layers", 0)?;
    let later = |layer: &usize| *layer >= first.unwrap_or(28);
    let by_number: Windows = (0..layers).map(|layer| window.filter(|_| later(&layer))).collect();
    let Some(listed) = listed_windows(fields, window.or(Some(1)), layers)? else {
        return Ok(by_number);
    };
    if !used && listed.iter().any(Option::is_some) {
        let what = "lists sliding_attention, but use_sliding_window is false: all layers see all";
        fields.note("layer_types", what);
        return Ok(by_number);
    }
    if used && first.is_some() && listed != by_number {
        fields.unused("max_window_layers", "layer_types takes precedence");
    }
    Ok(if used { listed } else { by_number })
}

/// Phi-3, and Phi-4 in the same layout.
pub(in crate::checkpoint) fn phi3(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    let mut config = plain(fields, "phi3", &PHI3, tensors)?;
    fields.unused("layer_types", unread("phi3"));
    // All layers have one window, whatever the file lists.
    let window = one_window(fields, "phi3", PHI3.window)?;
    config.set_windows(vec![window; config.layers]);
    Ok(config)
}

/// Gemma 2.
pub(in crate::checkpoint) fn gemma2(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    let mut config = plain(fields, "gemma2", &GEMMA2, tensors)?;
    gemma(fields, fields, 2, &mut config)?;
    config.attention_softcap = cap(fields, "attn_logit_softcapping", Some(50.0))?;
    config.logit_softcap = cap(fields, "final_logit_softcapping", Some(30.0))?;
    Ok(config)
}

/// Gemma 3; for a multimodal model, `outer` are the fields of the whole model.
pub(in crate::checkpoint) fn gemma3(
    fields: Fields<'_>,
    outer: Fields<'_>,
    tensors: usize,
) -> Result<Config> {
    let mut config = plain(fields, "gemma3", &GEMMA3, tensors)?;
    let pattern = fields.count("sliding_window_pattern")?.unwrap_or(6);
    gemma(fields, outer, pattern, &mut config)?;
    // Layers with global attention use the model's rotation.
    for kind in config.kinds.iter_mut().filter(|kind| kind.window.is_none()) {
        kind.rope = None;
    }
    config.qk_norm = true;
    config.attention_softcap = cap(fields, "attn_logit_softcapping", None)?;
    config.logit_softcap = cap(fields, "final_logit_softcapping", None)?;
    Ok(config)
}

/// What the Gemmas have in common: of each `pattern` layers the last has global attention.
fn gemma(fields: Fields<'_>, outer: Fields<'_>, pattern: usize, config: &mut Config) -> Result<()> {
    only(fields, "use_bidirectional_attention", false)?;
    let biased = fields.flag("attention_bias", false)?;
    config.biases = Biases { qkv: biased, out: biased, ..Biases::default() };
    config.post_norms = true;
    config.attention_scale =
        Some(fields.positive("query_pre_attn_scalar")?.unwrap_or(256.0).powf(-0.5));
    config.embed_scale = Some(embed_scale(outer, config.width)?);
    let window = one_window(fields, &config.architecture, GEMMA2.window)?;
    let sees_all = |layer: usize| (layer + 1).is_multiple_of(pattern);
    let by_number: Windows =
        (0..config.layers).map(|layer| window.filter(|_| !sees_all(layer))).collect();
    let windows =
        listed_windows(fields, window, config.layers)?.unwrap_or_else(|| by_number.clone());
    if fields.get("layer_types").is_none() {
        for name in ["sliding_window_pattern", "_sliding_window_pattern"] {
            fields.overruled(name, "the pattern of", &pattern.into());
        }
    }
    if windows != by_number {
        for name in ["sliding_window_pattern", "_sliding_window_pattern"] {
            fields.unused(name, "layer_types takes precedence");
        }
    }
    config.set_windows(windows);
    Ok(())
}

/// √C, rounded to the type that the model computes in, as `transformers` does.
fn embed_scale(fields: Fields<'_>, width: usize) -> Result<f32> {
    let root = (width as f64).sqrt() as f32;
    let kind = match fields.text("dtype")? {
        Some(kind) => Some(kind),
        None => fields.text("torch_dtype")?,
    };
    Ok(match kind {
        Some("bfloat16") => half::bf16::from_f32(root).to_f32(),
        Some("float16") => half::f16::from_f32(root).to_f32(),
        _ => root,
    })
}

/// A soft cap: the default if it is missing, `None` if it is null.
fn cap(fields: Fields<'_>, name: &str, default: Option<f64>) -> Result<Option<f64>> {
    if fields.raw(name).is_none() {
        return Ok(default);
    }
    fields.positive(name)
}

/// What all of these families have in common.
fn plain(fields: Fields<'_>, family: &str, defaults: &Defaults, tensors: usize) -> Result<Config> {
    let width = fields.count("hidden_size")?.unwrap_or(defaults.width);
    let heads = fields.count("num_attention_heads")?.unwrap_or(defaults.heads);
    let layers = fields.count("num_hidden_layers")?.unwrap_or(defaults.layers);
    check_layers(fields, "num_hidden_layers", layers, tensors)?;
    let vocab = fields.count("vocab_size")?.unwrap_or(defaults.vocab);
    let context = fields.count("max_position_embeddings")?.unwrap_or(defaults.context);
    let kv_heads = or_null(fields, "num_key_value_heads", defaults.kv_heads)?.unwrap_or(heads);
    let head_width = match or_null(fields, "head_dim", defaults.head_width)? {
        Some(given) => given,
        None => shared_width(fields, "num_attention_heads", width, heads)?,
    };
    let usual = Terms::usual(head_width, context);
    let (rope, local_rope) = match family {
        "gemma3" => {
            let terms = Terms { original: Original::Inside, ..usual };
            let whole = Terms { base: ("rope_theta", 1e6), ..terms };
            let local = Terms { base: ("rope_local_base_freq", 1e4), ..terms };
            let (whole, local) = rope::read_both(fields, whole, local)?;
            (whole, Some(local))
        }
        "phi3" => {
            let original = Original::OutsideOnly(4_096.0);
            (rope::read(fields, Terms { original, ..usual })?, None)
        }
        _ => (rope::read(fields, usual)?, None),
    };
    let hidden = fields.count("intermediate_size")?.unwrap_or(defaults.hidden);
    let config = Config {
        architecture: family.to_owned(),
        vocab,
        layers,
        width,
        heads,
        kv_heads,
        head_width,
        context,
        norm: Norm::RmsNorm,
        norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(defaults.eps),
        position: Position::Rope(rope),
        mlp: Mlp::Gated {
            hidden,
            function: function(fields, defaults.function.0, defaults.function.1)?,
        },
        kinds: vec![LayerKind { window: None, rope: local_rope }; layers],
        tied_head: fields.flag("tie_word_embeddings", defaults.tied)?,
        bos: ids(fields, "bos_token_id", vocab, defaults.bos)?.first().copied(),
        eos: ids(fields, "eos_token_id", vocab, defaults.eos)?,
        ..Config::default()
    };
    check(fields, &SIZES, &config)?;
    Ok(config)
}
