//! Texts that are marked as safe for HTML, as `markupsafe` has them: what joins one is escaped.

use minijinja::value::{Rest, Tuple, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State};

use super::args::Args;
use super::keep::{Purse, is_map, made, pairs, refused, type_name};
use super::plain::meant;
use super::text::text;

/// Adds the filters that escape.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_filter("safe", |state: &State, value: &Value| {
        text(state, value).map(Value::from_safe_string)
    });
    for name in ["escape", "e"] {
        environment.add_filter(name, escape);
    }
    environment.add_filter("forceescape", |state: &State, value: &Value| {
        escaped(state, &text(state, value)?).map(Value::from_safe_string)
    });
    environment.add_filter("xmlattr", xmlattr);
}

/// A safe text, which is escaped unless it was one.
fn escape(state: &State, value: &Value) -> Result<Value, Error> {
    match value.is_safe() {
        true => Ok(value.clone()),
        false => escaped(state, &text(state, value)?).map(Value::from_safe_string),
    }
}

/// A text for HTML.
fn escaped(state: &State, text: &str) -> Result<String, Error> {
    let mut purse = Purse::new(state);
    let meant = meant(state, text);
    let mut plain = 0;
    for (at, char) in text.char_indices() {
        let escaped = match meant(char) {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '\'' => "&#39;",
            '"' => "&#34;",
            _ => continue,
        };
        purse.push(&text[plain..at])?;
        purse.push(escaped)?;
        plain = at + char.len_utf8();
    }
    purse.push(&text[plain..])?;
    Ok(purse.text)
}

/// What joins a safe text: texts are escaped, and other values are as they are.
pub(super) fn joining(state: &State, value: &Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(_) => escape(state, value),
        None => Ok(value.clone()),
    }
}

/// The arguments of a method of a safe text.
pub(super) fn arguments(state: &State, name: &str, args: &[Value]) -> Result<Vec<Value>, Error> {
    if !["center", "format", "join", "ljust", "replace", "rjust"].contains(&name) {
        return Ok(args.to_vec());
    }
    let listed = |value: &Value| {
        let items = value.try_iter()?.map(|item| joining(state, &item));
        Ok(Value::from(items.collect::<Result<Vec<Value>, Error>>()?))
    };
    let joins = |value: &Value| match value.kind() {
        ValueKind::Seq | ValueKind::Iterable if name == "join" => listed(value),
        _ => joining(state, value),
    };
    // What is replaced is looked for as it is.
    let plain = usize::from(name == "replace").min(args.len());
    let rest = args[plain..].iter().map(joins);
    args[..plain].iter().cloned().map(Ok).chain(rest).collect()
}

/// What a method makes of a safe text is safe too.
pub(super) fn safe(state: &State, value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        made(state, text.len())?;
        return Ok(Value::from_safe_string(text.to_owned()));
    }
    if !matches!(value.kind(), ValueKind::Seq) {
        return Ok(value);
    }
    let items = value.try_iter()?.map(|item| safe(state, item));
    let items = items.collect::<Result<Vec<Value>, Error>>()?;
    Ok(match value.is_tuple() {
        true => Value::from(Tuple::from(items)),
        false => Value::from(items),
    })
}

/// The entries of a map as the attributes of a tag.
fn xmlattr(state: &State, map: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let mut args = Args::new("xmlattr", &args)?;
    let spaced = args.any("autospace")?.is_none_or(|spaced| spaced.is_true());
    args.end()?;
    if !is_map(map) {
        return Err(refused(format!("xmlattr of a value of type {}", type_name(map))));
    }
    let mut purse = Purse::new(state);
    for (key, value) in pairs(map)? {
        if value.is_none() || value.is_undefined() {
            continue;
        }
        let unnamed = || refused("xmlattr of a key that is not text");
        let name = key.as_str().ok_or_else(unnamed)?;
        if name.contains([' ', '\t', '\n', '\r', '\x0b', '\x0c', '/', '>', '=']) {
            return Err(refused(format!(
                "xmlattr: the name {name:.60?} has a character that none may have"
            )));
        }
        if spaced || !purse.text.is_empty() {
            purse.push(" ")?;
        }
        let value = escape(state, &value)?;
        let parts = [&escaped(state, name)?, "=\"", value.as_str().unwrap_or_default(), "\""];
        parts.into_iter().try_for_each(|part| purse.push(part))?;
    }
    Ok(purse.text)
}
