//! config.json of GPT-2 and its relatives: layer norms with bias, no gate.

use serde_json::{Map, Value, json};

use crate::checkpoint::fields::{
    Fields, SizeNames, check, check_layers, function, ids, only, shared_width,
};
use crate::checkpoint::rope::{self, Terms};
use crate::config::{
    Biases, Config, LayerKind, Mlp, Nonlinearity, Norm, Position, Rope, RopeScaling,
};
use crate::error::Result;

/// The names of a family's sizes, and the defaults for its config.json.
struct Family {
    name: &'static str,
    width: (&'static str, usize),
    heads: (&'static str, usize),
    layers: (&'static str, usize),
    hidden: (&'static str, Option<usize>),
    context: (&'static str, usize),
    eps: &'static str,
    function: (&'static str, Nonlinearity),
    vocab: usize,
    /// The tokens that begin and end a text.
    ends: [u32; 2],
    tied: bool,
}

const GPT2: Family = Family {
    name: "gpt2",
    width: ("n_embd", 768),
    heads: ("n_head", 12),
    layers: ("n_layer", 12),
    hidden: ("n_inner", None),
    context: ("n_positions", 1_024),
    eps: "layer_norm_epsilon",
    function: ("activation_function", Nonlinearity::GeluTanh),
    vocab: 50_257,
    ends: [50_256; 2],
    tied: true,
};

const GPT_NEO: Family = Family {
    name: "gpt_neo",
    width: ("hidden_size", 2_048),
    heads: ("num_heads", 16),
    layers: ("num_layers", 24),
    hidden: ("intermediate_size", None),
    context: ("max_position_embeddings", 2_048),
    ..GPT2
};

const GPTJ: Family = Family {
    name: "gptj",
    width: ("n_embd", 4_096),
    heads: ("n_head", 16),
    layers: ("n_layer", 28),
    context: ("n_positions", 2_048),
    vocab: 50_400,
    tied: false,
    ..GPT2
};

const GPT_NEOX: Family = Family {
    name: "gpt_neox",
    width: ("hidden_size", 6_144),
    heads: ("num_attention_heads", 64),
    layers: ("num_hidden_layers", 44),
    hidden: ("intermediate_size", Some(24_576)),
    context: ("max_position_embeddings", 2_048),
    eps: "layer_norm_eps",
    function: ("hidden_act", Nonlinearity::Gelu),
    vocab: 50_432,
    ends: [0, 2],
    tied: false,
};

/// The names by which other families call GPT-2's and GPT-J's sizes.
const GPT2_NAMES: [(&str, &str); 4] = [
    ("hidden_size", "n_embd"),
    ("num_attention_heads", "n_head"),
    ("num_hidden_layers", "n_layer"),
    ("max_position_embeddings", "n_positions"),
];

const GPT_NEO_NAMES: [(&str, &str); 2] =
    [("num_attention_heads", "num_heads"), ("num_hidden_layers", "num_layers")];

/// The fields with the family's own names for those that have two. Of a file with both, the general
/// name counts, as in `transformers`.
fn own_names(fields: Fields<'_>, names: &[(&str, &str)]) -> Map<String, Value> {
    let mut map = fields.map.clone();
    for (general, own) in names {
        if let Some(value) = fields.get(general) {
            fields.two_spellings(general, own);
            map.insert((*own).to_owned(), value.clone());
        }
    }
    map
}

/// Tells of the fields of a rotation, in a family that has none or another form of it.
fn tell_unread(fields: Fields<'_>, family: &Family) {
    for name in ["rope_theta", "rope_scaling", "rope_parameters"] {
        fields.unused(name, format!("models of type {} do not read it", family.name));
    }
}

/// GPT-2.
pub(in crate::checkpoint) fn gpt2(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    gpt2_layers(fields, tensors, fields.flag("attn_only", false)?)
}

/// GPT-2's layers without MLPs.
pub(in crate::checkpoint) fn attention_only(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    only(fields, "attn_only", true)?;
    gpt2_layers(fields, tensors, true)
}

fn gpt2_layers(fields: Fields<'_>, tensors: usize, attention_only: bool) -> Result<Config> {
    let map = own_names(fields, &GPT2_NAMES);
    let fields = Fields { map: &map, ..fields };
    tell_unread(fields, &GPT2);
    fields.two_spellings("n_positions", "n_ctx");
    only(fields, "scale_attn_weights", true)?;
    only(fields, "scale_attn_by_inverse_layer_idx", false)?;
    only(fields, "add_cross_attention", false)?;
    let mut config = plain(fields, &GPT2, tensors)?;
    if fields.count("n_positions")?.is_none() {
        config.context = fields.count("n_ctx")?.unwrap_or(config.context);
    }
    // Two ways to specify attention-only layers, apart from a family of their own.
    if attention_only {
        config.mlp = Mlp::None;
    }
    let mlp = config.mlp != Mlp::None;
    config.biases = Biases { qkv: true, out: true, mlp, head: false };
    finish(fields, &GPT2, config)
}

/// GPT-Neo: unscaled scores, and windows in some of the layers.
pub(in crate::checkpoint) fn gpt_neo(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    let map = own_names(fields, &GPT_NEO_NAMES);
    let fields = Fields { map: &map, ..fields };
    tell_unread(fields, &GPT_NEO);
    let mut config = plain(fields, &GPT_NEO, tensors)?;
    config.attention_scale = Some(1.0);
    config.biases = Biases { out: true, mlp: true, ..Biases::default() };
    let window = fields.count("window_size")?.unwrap_or(256);
    let local = attention_layers(fields, config.layers)?;
    config.set_windows(local.into_iter().map(|local| local.then_some(window)));
    finish(fields, &GPT_NEO, config)
}

/// GPT-J: parallel attention and MLP after one norm, and a head with a bias.
pub(in crate::checkpoint) fn gptj(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    let map = own_names(fields, &GPT2_NAMES);
    let fields = Fields { map: &map, ..fields };
    tell_unread(fields, &GPTJ);
    let mut config = plain(fields, &GPTJ, tensors)?;
    let rotated = fields.count("rotary_dim")?.unwrap_or(64);
    config.position = Position::Rope(Rope { base: 1e4, rotated, scaling: RopeScaling::None });
    config.parallel = true;
    config.biases = Biases { mlp: true, head: true, ..Biases::default() };
    finish(fields, &GPTJ, config)
}

/// GPT-NeoX and Pythia: parallel attention and MLP unless the file says otherwise.
pub(in crate::checkpoint) fn gpt_neox(fields: Fields<'_>, tensors: usize) -> Result<Config> {
    let mut config = plain(fields, &GPT_NEOX, tensors)?;
    let terms = Terms {
        base: ("rotary_emb_base", 1e4),
        share: ("rotary_pct", 0.25),
        ..Terms::usual(config.head_width, config.context)
    };
    let rope = rope::read(fields, terms)?;
    // The names that other families have for two of these fields.
    fields.overruled("rope_theta", "the base", &json!(rope.base));
    if let Some(share) = fields.positive("partial_rotary_factor")?
        && (config.head_width as f64 * share) as usize != rope.rotated
    {
        fields.unused("partial_rotary_factor", "this family calls it rotary_pct");
    }
    config.position = Position::Rope(rope);
    config.parallel = fields.flag("use_parallel_residual", true)?;
    let attention = fields.flag("attention_bias", true)?;
    config.biases = Biases { qkv: attention, out: attention, mlp: true, head: false };
    finish(fields, &GPT_NEOX, config)
}

/// Which of GPT-Neo's layers have a window: patterns and how often each repeats. By default global
/// and local layers alternate.
fn attention_layers(fields: Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    if let Some(listed) = listed_layers(fields, layers)? {
        return Ok(listed);
    }
    let Some(given) = fields.get("attention_types") else {
        return Ok((0..layers).map(|layer| layer % 2 == 1).collect());
    };
    patterns(fields, given, layers)
}

/// The list that patterns are spelled out to, which newer files have beside them and which takes
/// precedence.
fn listed_layers(fields: Fields<'_>, layers: usize) -> Result<Option<Vec<bool>>> {
    let Some(listed) = fields.texts("attention_layers")? else { return Ok(None) };
    if listed.len() != layers || listed.iter().any(|kind| !matches!(*kind, "global" | "local")) {
        let wanted = format!("must list global or local for each of {layers} layers");
        return Err(fields.bad("attention_layers", wanted));
    }
    let local: Vec<bool> = listed.into_iter().map(|kind| kind == "local").collect();
    if let Some(given) = fields.get("attention_types")
        && patterns(fields, given, layers).ok().as_ref() != Some(&local)
    {
        fields.unused("attention_types", "attention_layers takes precedence");
    }
    Ok(Some(local))
}

fn patterns(fields: Fields<'_>, given: &Value, layers: usize) -> Result<Vec<bool>> {
    let bad = || {
        let wanted = format!("must be patterns of global and local for {layers} layers");
        fields.bad("attention_types", wanted)
    };
    let mut local = Vec::new();
    for item in given.as_array().ok_or_else(bad)? {
        let Some([pattern, times]) = item.as_array().map(Vec::as_slice) else { return Err(bad()) };
        let kind = |kind: &Value| match kind.as_str() {
            Some("global") => Ok(false),
            Some("local") => Ok(true),
            _ => Err(bad()),
        };
        let pattern = pattern.as_array().filter(|pattern| !pattern.is_empty()).ok_or_else(bad)?;
        let pattern = pattern.iter().map(kind).collect::<Result<Vec<bool>>>()?;
        for _ in 0..times.as_u64().ok_or_else(bad)? {
            local.extend(&pattern);
            // A file may list any number of layers; only those that exist are kept.
            if local.len() > layers {
                return Err(bad());
            }
        }
    }
    if local.len() == layers { Ok(local) } else { Err(bad()) }
}

/// What all of these families have in common, not yet checked.
fn plain(fields: Fields<'_>, family: &Family, tensors: usize) -> Result<Config> {
    let count = |(name, default)| Ok(fields.count(name)?.unwrap_or(default));
    let (width, heads, layers) =
        (count(family.width)?, count(family.heads)?, fields.size(family.layers.0, 0)?);
    let layers = layers.unwrap_or(family.layers.1);
    check_layers(fields, family.layers.0, layers, tensors)?;
    let vocab = count(("vocab_size", family.vocab))?;
    let function = function(fields, family.function.0, family.function.1)?;
    let hidden = match fields.size(family.hidden.0, 0)? {
        Some(hidden) => hidden,
        None => family.hidden.1.unwrap_or(width.saturating_mul(4)),
    };
    let [bos, eos] = family.ends.map(Some);
    Ok(Config {
        architecture: family.name.to_owned(),
        vocab,
        layers,
        width,
        heads,
        kv_heads: heads,
        head_width: shared_width(fields, family.heads.0, width, heads)?,
        context: count(family.context)?,
        norm: Norm::LayerNorm,
        norm_eps: fields.positive(family.eps)?.unwrap_or(1e-5),
        position: Position::Learned,
        mlp: if hidden == 0 { Mlp::None } else { Mlp::Plain { hidden, function } },
        kinds: vec![LayerKind::default(); layers],
        tied_head: fields.flag("tie_word_embeddings", family.tied)?,
        bos: ids(fields, "bos_token_id", vocab, bos)?.first().copied(),
        eos: ids(fields, "eos_token_id", vocab, eos)?,
        ..Config::default()
    })
}

fn finish(fields: Fields<'_>, family: &Family, config: Config) -> Result<Config> {
    let rotated = if family.name == "gptj" { "rotary_dim" } else { "rotary_pct" };
    let heads = family.heads.0;
    fields.overruled("head_dim", "the width over the heads,", &config.head_width.into());
    let sizes = SizeNames { heads, kv_heads: heads, head_width: family.width.0, rotated };
    check(fields, &sizes, &config)?;
    Ok(config)
}
