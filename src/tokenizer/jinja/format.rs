//! Python's two kinds of string formatting, over the engine's own, within bounds.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, State};

use super::keep::{Purse, made, pay, pay_for_all, refused};
use super::text::{text, write_repr};

/// The most digits of a width or a precision.
const MOST_DIGITS: usize = 4;

/// The operator `%` with a text at its left.
pub(super) fn percent(state: &State, layout: &str, right: &Value) -> Result<Value, Error> {
    pay(state, layout.len().saturating_mul(2))?;
    if from_arguments(FormatStyle::Printf, layout) {
        return Err(refused("a format whose width is an argument"));
    }
    let mut args: Vec<Value> =
        if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
    // The engine has no %r, %i and %u: the first is the text of its argument, the others are %d.
    let mut names = false;
    let (mut plain, mut rest, mut place) = (String::with_capacity(layout.len()), layout, 0);
    while let Some(at) = rest.find('%') {
        let named = rest[at + 1..].starts_with('(');
        let name = if named { rest[at..].find(')') } else { Some(0) };
        let Some(name) = name else { return Err(refused("a format with an open bracket")) };
        let from = at + name + 1;
        let kind = rest[from..].find(|char: char| char.is_alphabetic() || char == '%');
        let Some(end) = kind.map(|kind| from + kind) else { break };
        plain.push_str(&rest[..end]);
        let length = rest[end..].chars().next().map_or(0, char::len_utf8);
        let (kind, after) = rest[end..].split_at(length);
        plain.push_str(match kind {
            "r" | "a" => "s",
            "i" | "u" => "d",
            _ => kind,
        });
        rest = after;
        if kind == "%" {
            continue;
        }
        if let Some(arg) = args.get_mut(place).filter(|_| !named) {
            *arg = shown(state, kind, arg)?;
        } else if named {
            names = true;
        } else if kind == "r" || kind == "a" {
            return Err(refused("%r of a named argument"));
        }
        place += 1;
    }
    plain.push_str(rest);
    if !names && place < args.len() && right.kind() != ValueKind::Map {
        return Err(refused(format!("a format of {place} places and {} arguments", args.len())));
    }
    formatted(state, FormatStyle::Printf, &plain, &args)
}

/// An argument of `%s` or `%r` as text, where the engine would write it in another way.
fn shown(state: &State, kind: &str, arg: &Value) -> Result<Value, Error> {
    let listed = matches!(arg.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map);
    match kind {
        "r" | "a" => {
            let mut purse = Purse::new(state);
            write_repr(&mut purse, arg)?;
            Ok(Value::from(purse.text))
        }
        // Python cuts off what stands after the point.
        "d" | "i" | "u" if arg.is_number() && !arg.is_integer() => {
            match f64::try_from(arg.clone())? {
                real if real.abs() < 1e37 => Ok(Value::from(real as i128)),
                _ => Err(refused("a format of a number too large as an integer")),
            }
        }
        "s" if listed || arg.is_number() => text(state, arg).map(Value::from),
        _ => Ok(arg.clone()),
    }
}

/// Fills in a layout, after paying for all that it may take.
pub(super) fn formatted(
    state: &State,
    style: FormatStyle,
    layout: &str,
    args: &[Value],
) -> Result<Value, Error> {
    pay(state, layout.len())?;
    let places = layout.matches(['%', '{']).count();
    let mut size = widths(layout)?;
    for arg in args {
        size = size.saturating_add(pay_for_all(state, arg)?.saturating_mul(places));
    }
    made(state, size)?;
    if from_arguments(style, layout) {
        return Err(refused("a format whose width is an argument"));
    }
    format(style, layout, args).map(Value::from)
}

/// The sum of all widths that a layout may ask for.
fn widths(layout: &str) -> Result<usize, Error> {
    let numbers = layout.split(|char: char| !char.is_ascii_digit());
    numbers.filter(|number| !number.is_empty()).try_fold(0_usize, |sum, number| {
        if number.len() > MOST_DIGITS {
            return Err(refused(format!("a format with the number {number:.20}")));
        }
        Ok(sum + number.parse::<usize>().unwrap_or(0))
    })
}

/// Whether a width stands among the arguments, as in `%*d` and `{:{}}`.
fn from_arguments(style: FormatStyle, layout: &str) -> bool {
    match style {
        FormatStyle::Printf => layout.split('%').skip(1).any(|place| {
            let flags = ['#', '0', '-', ' ', '+', '.'];
            let rest = place
                .trim_start_matches(|char: char| char.is_ascii_digit() || flags.contains(&char));
            rest.starts_with('*')
        }),
        FormatStyle::StrFormat => {
            let plain = layout.replace("{{", "").replace("}}", "");
            let places: Vec<&str> = plain.split('{').skip(1).collect();
            places.iter().rev().skip(1).any(|place| !place.contains('}'))
        }
    }
}
