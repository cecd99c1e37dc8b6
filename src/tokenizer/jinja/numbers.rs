//! Filters that make and show numbers, as Jinja's do.

use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::args::Args;
use super::keep::{pay, refused, type_name};
use super::operators::Number;
use super::plain::plain;

/// Adds them.
pub(super) fn register(environment: &mut Environment<'_>) {
    environment.add_filter("int", |state: &State, args: Rest<ValueOrKwargs>| {
        read(state, "int", args.into_values())
    });
    environment.add_filter("float", |state: &State, args: Rest<ValueOrKwargs>| {
        read(state, "float", args.into_values())
    });
    environment.add_filter("filesizeformat", filesizeformat);
    for (name, filter) in [
        ("round", Value::from_function(filters::round)),
        ("abs", Value::from_function(filters::abs)),
    ] {
        environment.add_filter(name, move |state: &mut State, args: Rest<ValueOrKwargs>| {
            let mut args = args.into_values();
            // Python's booleans are integers.
            if let Some(value) = args.first_mut().filter(|value| value.kind() == ValueKind::Bool) {
                *value = Value::from(i64::from(value.is_true()));
            }
            // Floor and ceil divide by a power of ten, which makes a float.
            let whole = args.first().is_some_and(Value::is_integer);
            if name == "round" && args.len() > 2 && whole {
                let real = args[0].as_i64().map(|number| number as f64);
                real.into_iter().for_each(|real| args[0] = Value::from(real));
            }
            filter.call(state, &args)
        });
    }
}

/// The filters `int` and `float`: a number, or a default.
fn read(state: &State, name: &str, args: Vec<Value>) -> Result<Value, Error> {
    let Some((value, rest)) = args.split_first() else { return Ok(Value::UNDEFINED) };
    if value.is_undefined() {
        return Err(refused(format!("{name} of an undefined value")));
    }
    let whole = name == "int";
    let mut args = Args::new(name, rest)?;
    let zero = if whole { Value::from(0) } else { Value::from(0.0) };
    let default = args.any("default")?.unwrap_or(zero);
    let base = match args.any("base")?.filter(|_| whole) {
        Some(base) => base.as_i64().and_then(|base| u32::try_from(base).ok()),
        None => Some(10),
    };
    args.end()?;
    let base = base.filter(|base| *base == 0 || (2..=36).contains(base));
    pay(state, value.as_str().map_or(0, str::len))?;
    let number = match value.as_str() {
        Some(text) => {
            let text = &*plain(state, text);
            let integer = || base.and_then(|base| integer(text, base)).map(Number::Integer);
            if whole { integer() } else { None }.or_else(|| real(text).map(Number::Float))
        }
        None => Number::of(value),
    };
    Ok(match number {
        Some(Number::Integer(number)) if whole => Number::Integer(number).value(),
        Some(Number::Float(real)) if whole => match real.is_finite() && real.abs() < 1e37 {
            true => Number::Integer(real as i128).value(),
            false => default,
        },
        Some(number) => Value::from(number.real()),
        None => default,
    })
}

/// Digits with single underscores between them, as Python takes them.
fn digits(text: &str) -> Option<String> {
    let fits = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    fits.then(|| text.replace('_', ""))
}

fn integer(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (sign, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { "-" } else { "" }, rest),
        None => ("", text),
    };
    let lower = text.to_ascii_lowercase();
    let known = [("0x", 16), ("0o", 8), ("0b", 2)];
    let prefixed = known
        .into_iter()
        .find(|(prefix, of)| lower.starts_with(prefix) && (base == 0 || base == *of));
    let (text, base) = match prefixed {
        Some((prefix, of)) => (lower[prefix.len()..].strip_prefix('_').unwrap_or(&lower[2..]), of),
        None if base == 0 && lower.len() > 1 && lower.starts_with('0') => {
            return lower.bytes().all(|byte| byte == b'0').then_some(0);
        }
        None => (&*lower, if base == 0 { 10 } else { base }),
    };
    if !text.starts_with(|char: char| char.is_ascii_alphanumeric()) {
        return None;
    }
    i128::from_str_radix(&format!("{sign}{}", digits(text)?), base).ok()
}

fn real(text: &str) -> Option<f64> {
    let text = text.trim();
    let between = |at: usize| {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        at > 0 && digit(text.as_bytes().get(at - 1)) && digit(text.as_bytes().get(at + 1))
    };
    let fits = text.match_indices('_').all(|(at, _)| between(at));
    if fits { text.replace('_', "").parse().ok() } else { None }
}

/// A number of bytes for people.
fn filesizeformat(value: &Value, args: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let args = args.into_values();
    let mut args = Args::new("filesizeformat", &args)?;
    let binary = args.any("binary")?.is_some_and(|binary| binary.is_true());
    args.end()?;
    let number = match value.as_str() {
        Some(text) => real(text),
        None => Number::of(value).map(Number::real),
    };
    let wrong = || refused(format!("filesizeformat of a value of type {}", type_name(value)));
    let bytes = number.ok_or_else(wrong)?;
    let (base, units) = match binary {
        true => (1024.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"]),
        false => (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"]),
    };
    if bytes == 1.0 {
        return Ok("1 Byte".to_owned());
    }
    if bytes < base {
        return Ok(format!("{} Bytes", bytes.trunc()));
    }
    let mut limit = base;
    for unit in units {
        limit *= base;
        if bytes < limit || unit.starts_with('Y') {
            return Ok(format!("{:.1} {unit}", base * bytes / limit));
        }
    }
    Err(wrong())
}
