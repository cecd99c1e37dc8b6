//! Rotary position embedding in Hugging Face's config.json, in its older and its newer form.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::config::{Rope, RopeScaling};
use crate::error::{Error, Result};

/// Reads `rope_parameters`, or `rope_theta` and `rope_scaling`.
pub(super) fn read(fields: Fields<'_>, head_width: usize, context: usize) -> Result<Rope> {
    let none = Map::new();
    let (name, given) = match fields.object("rope_parameters")? {
        Some(given) => ("rope_parameters", Some(given)),
        None => ("rope_scaling", fields.object("rope_scaling")?),
    };
    let map = same_for_all_layers(fields, given.unwrap_or(&none))?;
    let inner = Fields { path: fields.path, prefix: "", map };
    let base = match inner.positive("rope_theta")? {
        Some(base) => base,
        None => fields.positive("rope_theta")?.unwrap_or(10_000.0),
    };
    let share = match inner.positive("partial_rotary_factor")? {
        Some(share) => share,
        None => fields.positive("partial_rotary_factor")?.unwrap_or(1.0),
    };
    if share > 1.0 {
        return Err(
            fields.bad("partial_rotary_factor", format!("must be at most 1, but is {share}"))
        );
    }
    let kind = match inner.text("rope_type")? {
        Some(kind) => kind,
        None => inner.text("type")?.unwrap_or("default"),
    };
    let need = |field: &str| {
        let value = inner.positive(field)?;
        value.ok_or_else(|| fields.bad(name, format!("of type {kind} lacks {field}")))
    };
    let scaling = match kind {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: need("factor")? },
        "llama3" => {
            let (low, high) = (need("low_freq_factor")?, need("high_freq_factor")?);
            if low >= high {
                return Err(fields.bad(name, "must have low_freq_factor below high_freq_factor"));
            }
            let original = inner.positive("original_max_position_embeddings")?;
            RopeScaling::Llama3 {
                factor: need("factor")?,
                low,
                high,
                original_context: original.unwrap_or(context as f64),
            }
        }
        other => {
            return Err(Error::unsupported(
                format!("{}: rotary scaling {other}", fields.path.display()),
                "default, linear, llama3",
            ));
        }
    };
    // Truncated as `transformers` does; the share is at most 1, so it stays below the head's width.
    Ok(Rope { base, rotated: (head_width as f64 * share) as usize, scaling })
}

/// The newer form may give each type of layer its own parameters.
fn same_for_all_layers<'a>(
    fields: Fields<'_>,
    map: &'a Map<String, Value>,
) -> Result<&'a Map<String, Value>> {
    let mut inner = map.values().filter_map(Value::as_object);
    let Some(first) = inner.next() else { return Ok(map) };
    if inner.all(|other| other == first) {
        return Ok(first);
    }
    Err(Error::unsupported(
        format!("{}: rope_parameters that differ between layers", fields.path.display()),
        "one rotation for all layers",
    ))
}
