//! Typed look-ups in a configuration, with errors that name the file and the field.

use std::path::Path;

use serde_json::{Map, Value};

use super::json::shown;
use super::notes::Notes;
use crate::config::{Config, Nonlinearity, Position, Rope};
use crate::error::{Error, Result};

/// The largest size that is accepted; positions and ids are 32-bit on the GPU.
const LARGEST: u64 = i32::MAX as u64;

/// The fields of one object of a file. A field that is null counts as missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    /// What precedes every name in messages, such as `rope_scaling.` for the fields of that object.
    pub(super) within: &'a str,
    /// The prefix of every name, such as `llama.`.
    pub(super) prefix: &'a str,
    pub(super) map: &'a Map<String, Value>,
    /// What the user is told.
    pub(super) notes: &'a Notes,
}

impl<'a> Fields<'a> {
    /// The fields of a whole file.
    pub(super) fn new(path: &'a Path, map: &'a Map<String, Value>, notes: &'a Notes) -> Self {
        Self { path, within: "", prefix: "", map, notes }
    }

    /// The value, null included.
    pub(super) fn raw(&self, name: &str) -> Option<&'a Value> {
        self.map.get(&format!("{}{name}", self.prefix))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.raw(name).filter(|value| !value.is_null())
    }

    /// An error about this field.
    pub(super) fn bad(&self, name: &str, reason: impl AsRef<str>) -> Error {
        let Self { path, within, prefix, .. } = self;
        Error::file(path, format!("{within}{prefix}{name} {}", reason.as_ref()))
    }

    /// Tells the user about this field.
    pub(super) fn note(&self, name: &str, text: impl AsRef<str>) {
        let Self { path, within, prefix, .. } = self;
        self.notes.add(path, format!("{within}{prefix}{name} {}", text.as_ref()));
    }

    /// Tells that a field is not used, and why, if the file has it. One that is false is taken as
    /// one that is not there.
    pub(super) fn unused(&self, name: &str, why: impl AsRef<str>) {
        if let Some(value) = self.get(name).filter(|value| **value != Value::Bool(false)) {
            self.note(name, format!("{} is not used: {}", shown(value), why.as_ref()));
        }
    }

    /// Tells that a field is not used if the file has it and it differs from the value that is:
    /// the value of a field of another name, or of another object.
    pub(super) fn overruled(&self, name: &str, by: &str, value: &Value) {
        if self.get(name).is_some_and(|own| !same(own, value)) {
            self.unused_even_if_false(name, format!("{by} {} takes precedence", shown(value)));
        }
    }

    /// Two spellings of one setting, of which `wins` is used if the file has both.
    pub(super) fn two_spellings(&self, wins: &str, loses: &str) {
        if let Some(value) = self.get(wins) {
            self.overruled(loses, &format!("{}{}{wins}", self.within, self.prefix), value);
        }
    }

    fn unused_even_if_false(&self, name: &str, why: String) {
        if let Some(value) = self.get(name) {
            self.note(name, format!("{} is not used: {why}", shown(value)));
        }
    }

    fn typed<T>(
        &self,
        name: &str,
        wanted: &str,
        convert: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let converted = convert(value);
        converted
            .map(Some)
            .ok_or_else(|| self.bad(name, format!("must be {wanted}, but is {}", shown(value))))
    }

    /// A size of at least 1.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>> {
        self.size(name, 1)
    }

    /// A size of at least `least`.
    pub(super) fn size(&self, name: &str, least: u64) -> Result<Option<usize>> {
        self.typed(name, &format!("a whole number from {least} to {LARGEST}"), |value| {
            let size = value.as_u64().filter(|size| (least..=LARGEST).contains(size))?;
            usize::try_from(size).ok()
        })
    }

    /// A size that has no default.
    pub(super) fn need(&self, name: &str) -> Result<usize> {
        self.count(name)?.ok_or_else(|| self.bad(name, "is missing"))
    }

    /// A number above zero that is so in f32 too, as which the device computes with it.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, "a number above 0 and within f32", |value| {
            let narrow = |number: &f64| *number as f32;
            let inside = |number: &f64| narrow(number).is_finite() && narrow(number) > 0.0;
            value.as_f64().filter(inside)
        })
    }

    /// A number that is finite in f32 too.
    pub(super) fn finite(&self, name: &str) -> Result<Option<f64>> {
        self.typed(name, "a number within f32", |value| {
            value.as_f64().filter(|number| (*number as f32).is_finite())
        })
    }

    /// A list of finite numbers above zero.
    pub(super) fn positives(&self, name: &str) -> Result<Option<Vec<f32>>> {
        let positive = |value: &Value| {
            let number = value.as_f64()? as f32;
            (number.is_finite() && number > 0.0).then_some(number)
        };
        self.typed(name, "a list of numbers above 0", |value| {
            value.as_array()?.iter().map(positive).collect()
        })
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self.typed(name, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>> {
        self.typed(name, "an object", Value::as_object)
    }

    /// A list of strings.
    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>> {
        self.typed(name, "a list of strings", |value| {
            value.as_array()?.iter().map(Value::as_str).collect()
        })
    }

    /// A token id or a list of them; those outside a vocabulary of `vocab` are left out.
    pub(super) fn ids(&self, name: &str, vocab: usize) -> Result<Option<Vec<u32>>> {
        let listed = self.typed(name, "a token id or a list of them", |value| match value {
            Value::Array(list) => list.iter().map(Value::as_i64).collect::<Option<Vec<i64>>>(),
            one => one.as_i64().map(|id| vec![id]),
        })?;
        for id in listed.iter().flatten() {
            if usize::try_from(*id).is_ok_and(|id| id >= vocab) {
                self.note(name, format!("{id} is not used: the vocabulary has {vocab} tokens"));
            }
        }
        let inside = |id: i64| {
            let id = u32::try_from(id).ok()?;
            usize::try_from(id).is_ok_and(|id| id < vocab).then_some(id)
        };
        Ok(listed.map(|ids| ids.into_iter().filter_map(inside).collect()))
    }
}

/// Whether two values say the same: 1 and 1.0 do.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The activation function of this name.
pub(super) fn function(
    fields: Fields<'_>,
    name: &str,
    default: Nonlinearity,
) -> Result<Nonlinearity> {
    let Some(given) = fields.text(name)? else { return Ok(default) };
    match given {
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Nonlinearity::GeluTanh),
        "gelu" => Ok(Nonlinearity::Gelu),
        "silu" | "swish" => Ok(Nonlinearity::Silu),
        other => Err(Error::unsupported(
            format!("{}: {name} {other}", fields.path.display()),
            "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, swish",
        )),
    }
}

/// The ids in a field: the default if it is missing, none if it is null.
pub(super) fn ids(
    fields: Fields<'_>,
    name: &str,
    vocab: usize,
    default: Option<u32>,
) -> Result<Vec<u32>> {
    if fields.raw(name).is_some() {
        return Ok(fields.ids(name, vocab)?.unwrap_or_default());
    }
    Ok(default.filter(|&id| usize::try_from(id).is_ok_and(|id| id < vocab)).into_iter().collect())
}

/// Rejects a flag that changes the computation.
pub(super) fn only(fields: Fields<'_>, name: &str, supported: bool) -> Result<()> {
    if fields.flag(name, supported)? == supported {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("{}: {name} {}", fields.path.display(), !supported),
        supported.to_string(),
    ))
}

/// A size: the default if it is missing, `None` if it is null.
pub(super) fn or_null(
    fields: Fields<'_>,
    name: &str,
    default: Option<usize>,
) -> Result<Option<usize>> {
    if fields.raw(name).is_some() { fields.count(name) } else { Ok(default) }
}

/// Each layer's sliding window, if the file lists the kinds of its layers, as newer files do.
pub(super) fn listed_windows(
    fields: Fields<'_>,
    window: Option<usize>,
    layers: usize,
) -> Result<Option<Vec<Option<usize>>>> {
    let Some(kinds) = fields.texts("layer_types")? else { return Ok(None) };
    if kinds.len() != layers {
        let reason = format!("lists {} layers, not {layers}", kinds.len());
        return Err(fields.bad("layer_types", reason));
    }
    let window = |kind| match kind {
        "full_attention" => Ok(None),
        "sliding_attention" => Ok(window),
        other => Err(Error::unsupported(
            format!("{}: layer type {other}", fields.path.display()),
            "full_attention, sliding_attention",
        )),
    };
    kinds.into_iter().map(window).collect::<Result<_>>().map(Some)
}

/// The names of the sizes that must fit together, in a family's files.
pub(super) struct SizeNames {
    pub(super) heads: &'static str,
    pub(super) kv_heads: &'static str,
    pub(super) head_width: &'static str,
    pub(super) rotated: &'static str,
}

/// D if the file does not give it: the width divided by the heads.
pub(super) fn shared_width(
    fields: Fields<'_>,
    heads_name: &str,
    width: usize,
    heads: usize,
) -> Result<usize> {
    if width.is_multiple_of(heads) {
        return Ok(width / heads);
    }
    Err(fields.bad(heads_name, format!("of {heads} does not divide the width {width}")))
}

/// Rejects more layers than the files could hold, before anything is allocated for each of them.
pub(super) fn check_layers(
    fields: Fields<'_>,
    name: &str,
    layers: usize,
    tensors: usize,
) -> Result<()> {
    if layers <= tensors {
        return Ok(());
    }
    Err(fields.bad(name, format!("is {layers}, but there are only {tensors} tensors")))
}

/// Checks that a configuration's sizes fit together.
pub(super) fn check(fields: Fields<'_>, names: &SizeNames, config: &Config) -> Result<()> {
    let (heads, kv_heads, head_width) = (config.heads, config.kv_heads, config.head_width);
    if heads % kv_heads != 0 {
        return Err(
            fields.bad(names.kv_heads, format!("of {kv_heads} does not divide {heads} heads"))
        );
    }
    // A joined tensor holds three such widths next to each other.
    if heads.checked_mul(head_width).and_then(|width| width.checked_mul(3)).is_none() {
        return Err(fields.bad(names.heads, format!("of {heads} by {head_width} is too large")));
    }
    let whole = match &config.position {
        Position::Rope(rope) => Some(rope),
        Position::Learned => None,
    };
    let odd = |rope: &&Rope| {
        !rope.rotated.is_multiple_of(2) || rope.rotated == 0 || rope.rotated > head_width
    };
    let own = config.kinds.iter().filter_map(|kind| kind.rope.as_ref());
    if let Some(rope) = whole.into_iter().chain(own).find(odd) {
        let name = if rope.rotated == head_width { names.head_width } else { names.rotated };
        return Err(fields.bad(
            name,
            format!(
                "rotates {} of {head_width} values a head; \
                 it must be even, above 0 and at most all",
                rope.rotated
            ),
        ));
    }
    Ok(())
}
