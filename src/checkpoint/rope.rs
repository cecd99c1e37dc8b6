//! Rotary position embedding in Hugging Face's config.json, in the older and the newer form.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::json::{self, is_mark};
use crate::config::{Rope, RopeScaling};
use crate::error::{Error, Result};

/// The names of a family's base and of the fraction of a head that is rotated, and their defaults.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) base: (&'static str, f64),
    pub(super) share: (&'static str, f64),
    pub(super) head_width: usize,
    /// The longest sequence, in tokens, that the model was made for.
    pub(super) context: usize,
    pub(super) original: Original,
}

/// Where the context before stretching is given.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Original {
    /// Next to the object, or else in it.
    Outside,
    /// Next to the object, with a default: what is in the object is not used.
    OutsideOnly(f64),
    /// In the object.
    Inside,
}

impl Terms {
    /// The names and defaults of most families.
    pub(super) fn usual(head_width: usize, context: usize) -> Self {
        let (base, share) = (("rope_theta", 10_000.0), ("partial_rotary_factor", 1.0));
        Self { base, share, head_width, context, original: Original::Outside }
    }
}

const NEWER: &str = "rope_parameters";
const OLDER: &str = "rope_scaling";

/// Reads `rope_parameters`, or the older `rope_scaling` with base and fraction in fields next to
/// it. Of a file with both, the older counts, as in `transformers`.
pub(super) fn read(fields: Fields<'_>, terms: Terms) -> Result<Rope> {
    let none = Map::new();
    let newer = fields.object(NEWER)?;
    let older = fields.object(OLDER)?.filter(|older| !older.is_empty());
    let (name, given) = match (older, newer) {
        (Some(older), _) => (OLDER, Some(older)),
        (None, newer) => (NEWER, newer),
    };
    let map = same_for_all_layers(fields, given.unwrap_or(&none))?;
    let rope = one(fields, name, map, terms)?;
    if let (Some(older), Some(newer)) = (older, newer)
        && older != newer
    {
        let base = rope.base;
        let what = format!("is not used, its base included: {OLDER} beside it takes precedence");
        fields.note(NEWER, format!("{what}, and the base is {base}"));
    }
    Ok(rope)
}

/// Reads both rotations of a family: one for layers with global attention, one for layers with a
/// window, for whose base `local` has the older name. Here `rope_scaling` overrides single values of
/// the former.
pub(super) fn read_both(fields: Fields<'_>, terms: Terms, local: Terms) -> Result<(Rope, Rope)> {
    let none = Map::new();
    let newer = fields.object(NEWER)?.unwrap_or(&none);
    let of = |kind: &str| newer.get(kind).and_then(Value::as_object);
    let (full, sliding) = (of("full_attention"), of("sliding_attention"));
    if full.is_none() && sliding.is_none() && !newer.is_empty() {
        let why =
            "this family has one object for full_attention and one for sliding_attention in it";
        fields.note(NEWER, format!("is not used: {why}"));
    }
    let mut whole = full.unwrap_or(&none).clone();
    let older = fields.object(OLDER)?.unwrap_or(&none);
    for (key, value) in older {
        let inner = Fields { within: "rope_parameters.full_attention.", map: &whole, ..fields };
        inner.overruled(key, &format!("{OLDER}.{key}"), value);
        whole.insert(key.clone(), value.clone());
    }
    let name = if older.is_empty() { NEWER } else { OLDER };
    let whole = one(fields, name, &whole, terms)?;
    Ok((whole, one(fields, NEWER, sliding.unwrap_or(&none), local)?))
}

/// The parameters of all layers; the newer form may have some per type of layer.
fn same_for_all_layers<'a>(
    fields: Fields<'_>,
    map: &'a Map<String, Value>,
) -> Result<&'a Map<String, Value>> {
    let mut inner = map.values().filter(|value| !is_mark(value)).filter_map(Value::as_object);
    let Some(first) = inner.next() else { return Ok(map) };
    if inner.all(|other| other == first) {
        return Ok(first);
    }
    Err(Error::unsupported(
        format!("{}: rope_parameters that differ between layers", fields.path.display()),
        "one rotation for all layers",
    ))
}

/// One rotation, from the object `map`, which errors call `name`.
fn one(
    fields: Fields<'_>,
    name: &'static str,
    map: &Map<String, Value>,
    terms: Terms,
) -> Result<Rope> {
    let within = format!("{name}.");
    let inner = Fields { within: &within, prefix: "", map, ..fields };
    let number = |key: &str, (outer, default): (&'static str, f64)| match inner.positive(key)? {
        Some(number) => {
            fields.overruled(outer, &format!("{within}{key}"), &json::number(number));
            Ok::<_, Error>(number)
        }
        None => Ok(fields.positive(outer)?.unwrap_or(default)),
    };
    let base = number("rope_theta", terms.base)?;
    let share = number("partial_rotary_factor", terms.share)?;
    if share > 1.0 {
        return Err(fields.bad(terms.share.0, format!("must be at most 1, but is {share}")));
    }
    // Truncated as in `transformers`; the fraction is at most 1, so it is at most the head width.
    let rotated = (terms.head_width as f64 * share) as usize;
    let scaling = scaling(fields, Object { name, inner }, Sizes { base, rotated, terms })?;
    let rope = Rope { base, rotated, scaling };
    let at_fault = if rope.scaling == RopeScaling::None { terms.base.0 } else { name };
    match rope.fault(terms.context) {
        Some(fault) => Err(fields.bad(at_fault, fault)),
        None => Ok(rope),
    }
}

/// The object that describes a rotation.
#[derive(Clone, Copy)]
struct Object<'a> {
    name: &'static str,
    inner: Fields<'a>,
}

/// The sizes that a scaling depends on.
#[derive(Clone, Copy)]
struct Sizes {
    base: f64,
    rotated: usize,
    terms: Terms,
}

fn scaling(fields: Fields<'_>, object: Object<'_>, sizes: Sizes) -> Result<RopeScaling> {
    let Object { name, inner } = object;
    inner.two_spellings("rope_type", "type");
    let kind = match inner.text("rope_type")? {
        Some(kind) => kind,
        None => inner.text("type")?.unwrap_or("default"),
    };
    let need = |field: &str| {
        let value = inner.positive(field)?;
        value.ok_or_else(|| fields.bad(name, format!("of type {kind} lacks {field}")))
    };
    match kind {
        "default" => Ok(RopeScaling::None),
        // Scaling begins at the end of the context that the model was made for.
        "dynamic" => Ok(RopeScaling::None),
        "linear" => Ok(RopeScaling::Linear { factor: need("factor")? }),
        "llama3" => {
            let (low, high) = (need("low_freq_factor")?, need("high_freq_factor")?);
            if low >= high {
                return Err(fields.bad(name, "must have low_freq_factor below high_freq_factor"));
            }
            let original_context = original(fields, inner, sizes)?;
            Ok(RopeScaling::Llama3 { factor: need("factor")?, low, high, original_context })
        }
        // Files of Phi-3 also use older names for longrope, such as `yarn`; these have two sets.
        "longrope" | "su" => long(fields, object, sizes),
        "yarn" if inner.get("short_factor").is_some() => long(fields, object, sizes),
        "yarn" => yarn(fields, object, sizes),
        other => Err(Error::unsupported(
            format!("{}: rotary scaling {other}", fields.path.display()),
            "default, linear, dynamic, llama3, yarn, longrope",
        )),
    }
}

/// The context before stretching.
fn original(fields: Fields<'_>, inner: Fields<'_>, sizes: Sizes) -> Result<f64> {
    let field = "original_max_position_embeddings";
    let inside = inner.positive(field)?;
    let outside = match sizes.terms.original {
        Original::Outside => fields.positive(field)?,
        Original::OutsideOnly(default) => Some(fields.positive(field)?.unwrap_or(default)),
        Original::Inside => None,
    };
    if let Some(outside) = outside {
        inner.overruled(field, &format!("{field} beside it, which is"), &json::number(outside));
    }
    Ok(outside.or(inside).unwrap_or(sizes.terms.context as f64))
}

/// YaRN: Peng et al. 2023.
fn yarn(fields: Fields<'_>, object: Object<'_>, sizes: Sizes) -> Result<RopeScaling> {
    let Object { name, inner } = object;
    let original_context = original(fields, inner, sizes)?;
    let factor = match inner.positive("factor")? {
        Some(factor) => factor,
        None => sizes.terms.context as f64 / original_context,
    };
    let (fast, slow) =
        (inner.positive("beta_fast")?.unwrap_or(32.0), inner.positive("beta_slow")?.unwrap_or(1.0));
    if sizes.base <= 1.0 || slow > fast {
        return Err(
            fields.bad(name, "of type yarn needs a base above 1, and beta_slow up to beta_fast")
        );
    }
    let longer = |weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    let amplitude = match inner.positive("attention_factor")? {
        Some(amplitude) => amplitude,
        None => match (inner.positive("mscale")?, inner.positive("mscale_all_dim")?) {
            (Some(part), Some(all)) => longer(part) / longer(all),
            _ => longer(1.0),
        },
    };
    let whole = inner.flag("truncate", true)?;
    Ok(RopeScaling::Yarn { factor, fast, slow, original_context, whole, amplitude })
}

/// LongRoPE: Ding et al. 2024, as Phi-3 has it.
fn long(fields: Fields<'_>, object: Object<'_>, sizes: Sizes) -> Result<RopeScaling> {
    let Object { name, inner } = object;
    let pairs = sizes.rotated / 2;
    let set = |field: &str| {
        let set = inner.positives(field)?;
        let set = set.ok_or_else(|| fields.bad(name, format!("of type longrope lacks {field}")))?;
        if set.len() == pairs {
            return Ok(set);
        }
        Err(fields.bad(name, format!("has {} values of {field} for {pairs} pairs", set.len())))
    };
    let (short, long) = (set("short_factor")?, set("long_factor")?);
    let original = original(fields, inner, sizes)?;
    let factor = match inner.positive("factor")? {
        Some(factor) => factor,
        None => sizes.terms.context as f64 / original,
    };
    let amplitude = match inner.positive("attention_factor")? {
        Some(amplitude) => amplitude,
        None => long_amplitude(factor, original),
    };
    Ok(RopeScaling::Long { short, long, original_context: original as usize, amplitude })
}

/// LongRoPE's factor for rotated queries and keys, if the file does not give one.
fn long_amplitude(factor: f64, original: f64) -> f64 {
    if factor <= 1.0 || original <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() }
}
