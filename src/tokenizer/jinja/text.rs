//! Values as text, as Python's `str` and `repr` write them.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, Output, State};

use super::keep::{Purse, made, pairs, refused};
use super::objects::{is_generator, is_group, is_namespace, range_text, view_name};

/// Prints a value: what the engine calls for `{{ ... }}`.
pub(super) fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let written = match value.as_str() {
        Some(text) => {
            made(state, text.len())?;
            out.write_str(text)
        }
        None => out.write_str(&text(state, value)?),
    };
    written.map_err(Error::from)
}

/// A value as text.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    let mut purse = Purse::new(state);
    write_str(&mut purse, value)?;
    Ok(purse.text)
}

/// Appends a value as `str` writes it.
pub(super) fn write_str(purse: &mut Purse<'_, '_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => purse.push(text),
        None if value.is_undefined() => Ok(()),
        None => write_repr(purse, value),
    }
}

/// Appends a value as `repr` writes it.
pub(super) fn write_repr(purse: &mut Purse<'_, '_, '_>, value: &Value) -> Result<(), Error> {
    if is_generator(value) {
        return Err(refused("a generator as text: the filter list makes a list of it"));
    }
    if let Some(range) = range_text(value) {
        return purse.push(&range);
    }
    if let Some(name) = view_name(value) {
        purse.push(&format!("dict_{name}("))?;
        write_repr(purse, &Value::from(value.try_iter()?.collect::<Vec<_>>()))?;
        return purse.push(")");
    }
    let pair = value.is_tuple() || is_group(value);
    match value.kind() {
        ValueKind::Undefined => purse.push("Undefined"),
        ValueKind::String => quoted(purse, value.as_str().unwrap_or_default()),
        ValueKind::Number if !value.is_integer() => {
            purse.push(&float(f64::try_from(value.clone())?))
        }
        ValueKind::Map => {
            let named = is_namespace(value);
            purse.push(if named { "<Namespace {" } else { "{" })?;
            for (at, (key, value)) in pairs(value)?.enumerate() {
                purse.push(if at > 0 { ", " } else { "" })?;
                write_repr(purse, &key)?;
                purse.push(": ")?;
                write_repr(purse, &value)?;
            }
            purse.push(if named { "}>" } else { "}" })
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if pair { ("(", ")") } else { ("[", "]") };
            purse.push(open)?;
            let mut count = 0;
            for item in value.try_iter()? {
                purse.push(if count > 0 { ", " } else { "" })?;
                write_repr(purse, &item)?;
                count += 1;
            }
            purse.push(if pair && count == 1 { "," } else { "" })?;
            purse.push(close)
        }
        _ => purse.push(&value.to_string()),
    }
}

/// A string as `repr` writes it.
fn quoted(purse: &mut Purse<'_, '_, '_>, text: &str) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { "\"" } else { "'" };
    purse.push(quote)?;
    let mut plain = 0;
    for (at, char) in text.char_indices() {
        let escaped = match char {
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\'' if quote == "'" => "\\'".to_owned(),
            '\0'..='\x1f' | '\x7f'..='\u{a0}' | '\u{ad}' => format!("\\x{:02x}", u32::from(char)),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{200b}'..='\u{200f}' => {
                format!("\\u{:04x}", u32::from(char))
            }
            _ => continue,
        };
        purse.push(&text[plain..at])?;
        purse.push(&escaped)?;
        plain = at + char.len_utf8();
    }
    purse.push(&text[plain..])?;
    purse.push(quote)
}

/// A number as Python writes it: the shortest digits that read back as the same number.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let text = format!("{number:?}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
