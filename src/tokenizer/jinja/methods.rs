//! What Python's values offer by a dot or in brackets: methods, attributes, items and slices.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Rest, Tuple, Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, State};

use super::args::{Args, part};
use super::compare::{equal, hashable, item_of};
use super::escaping;
use super::keep::{
    held, is_loop, is_map, listed, made, pairs, pay, pay_for_all, refused, type_name,
};
use super::objects::{Range, View, range_parts};
use super::operators::Number;
use super::strings;

const OF_MAPS: &[&str] = &["copy", "get", "items", "keys", "values"];
const OF_LISTS: &[&str] = &["copy", "count", "index"];
const OF_LOOPS: &[&str] = &["changed", "cycle"];
/// Methods that change a list or a map, which no template may do.
const CHANGING: &[&str] = &[
    "add",
    "append",
    "clear",
    "discard",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "update",
];

/// What numbers and ranges have that is no method.
const PARTS: &[&str] = &["denominator", "imag", "numerator", "real", "start", "step", "stop"];

/// What Python's values have, by the names of their types, and templates do not. It is refused, since an
/// attribute that nobody has is undefined.
const ABSENT: &[(&str, &[&str])] = &[
    ("bool", INTEGERS),
    ("int", INTEGERS),
    ("float", &["as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer"]),
    ("str", &["encode", "format_map", "isidentifier", "isprintable", "maketrans", "translate"]),
    ("dict", &["fromkeys"]),
    ("dict view", &["isdisjoint", "mapping"]),
    ("generator", &["close", "send", "throw"]),
];
const INTEGERS: &[&str] =
    &["as_integer_ratio", "bit_count", "bit_length", "conjugate", "from_bytes", "to_bytes"];

/// Whether some value has a method or a part of this name.
pub(super) fn is_known(name: &str) -> bool {
    let here = [OF_MAPS, OF_LISTS, OF_LOOPS, CHANGING, strings::METHODS, PARTS];
    here.into_iter().chain(ABSENT.iter().map(|(_, names)| *names)).any(|of| of.contains(&name))
}

/// What a number or a range has of this name, if it is no method.
fn part_of(value: &Value, name: &str) -> Option<Value> {
    if let Some(parts) = range_parts(value) {
        let at = ["start", "stop", "step"].into_iter().position(|part| part == name)?;
        return Some(Number::Integer(parts[at]).value());
    }
    Some(match (Number::of(value)?, name) {
        (number, "real") => number.value(),
        (Number::Float(_), "imag") => Value::from(0.0),
        (whole @ Number::Integer(_), "numerator") => whole.value(),
        (Number::Integer(_), "imag") => Value::from(0),
        (Number::Integer(_), "denominator") => Value::from(1),
        _ => return None,
    })
}

/// Whether this value has a method of this name.
pub(super) fn has(value: &Value, name: &str) -> bool {
    match value.kind() {
        ValueKind::String => strings::METHODS.contains(&name),
        ValueKind::Map if !is_map(value) => false,
        ValueKind::Map => OF_MAPS.contains(&name) || CHANGING.contains(&name),
        ValueKind::Seq | ValueKind::Iterable => {
            OF_LISTS.contains(&name) || CHANGING.contains(&name)
        }
        _ => false,
    }
}

/// A method that is not called at once.
#[derive(Debug)]
struct Method {
    of: Value,
    name: String,
}

impl Object for Method {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State, args: &[Value]) -> Result<Value, Error> {
        called(state, &self.of, &self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<built-in method {} of {} object>", self.name, type_name(&self.of))
    }
}

/// An attribute that has the name of a method.
pub(super) fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    if has(value, name) {
        let name = name.to_owned();
        return Ok(Value::from_object(Method { of: value.clone(), name }));
    }
    if let Some(part) = part_of(value, name) {
        return Ok(part);
    }
    let kind = type_name(value);
    if ABSENT.iter().any(|(of, names)| *of == kind && names.contains(&name)) {
        return Err(refused(format!("{kind}.{name} is not for chat templates")));
    }
    value.get_attr(name)
}

/// Calls a method.
pub(super) fn method(state: &mut State, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let [value, name, args @ ..] = &args[..] else { return Ok(Value::UNDEFINED) };
    let name = name.as_str().unwrap_or_default();
    called(state, value, name, args)
}

fn called(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if is_loop(value) && OF_LOOPS.contains(&name) {
        if args.is_empty() {
            return Err(refused(format!("loop.{name} without arguments")));
        }
        for arg in args {
            pay_for_all(state, arg)?;
            held(state, arg.clone())?;
        }
        return value.call_method(state, name, args);
    }
    if !has(value, name) {
        let found = value.get_attr(name)?;
        if found.is_undefined() {
            return Err(refused(format!("{} has no method {name}", type_name(value))));
        }
        return found.call(state, args);
    }
    if CHANGING.contains(&name) {
        return Err(refused(format!("{name} changes a value, which no template may do")));
    }
    if value.is_safe() {
        let plain = Value::from(value.as_str().unwrap_or_default());
        let args = escaping::arguments(state, name, args)?;
        let result = called(state, &plain, name, &args)?;
        return escaping::safe(state, result);
    }
    let mut args = Args::new(name, args)?;
    let result = match value.kind() {
        ValueKind::String => strings::method(state, value, name, &mut args)?,
        ValueKind::Map => of_map(state, value, name, &mut args)?,
        _ => of_list(state, value, name, &mut args)?,
    };
    args.end()?;
    Ok(result)
}

fn of_map(state: &State, map: &Value, name: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let each = |name, part: fn((Value, Value)) -> Value| {
        let items = listed(state, pairs(map)?.map(part))?;
        Ok(Value::from_object(View { name, items }))
    };
    match name {
        "items" => each("items", |(key, value)| Value::from(Tuple::from([key, value]))),
        "keys" => each("keys", |(key, _)| key),
        "values" => each("values", |(_, value)| value),
        "copy" => Ok(map.clone()),
        _ => {
            let key = args.required("key")?;
            let other = args.optional("default")?.unwrap_or_else(|| Value::from(()));
            Ok(item_of(state, map, &key)?.unwrap_or(other))
        }
    }
}

fn of_list(state: &State, list: &Value, name: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    if name == "copy" {
        return Ok(list.clone());
    }
    let wanted = args.required("value")?;
    let (mut start, mut stop) = (0, usize::MAX);
    if name == "index" {
        let length = list.len().unwrap_or(0) as i64;
        let mut place = |name, other| {
            let given = args.optional(name)?.and_then(|given| given.as_i64());
            let place = given.map(|at| if at < 0 { at.saturating_add(length) } else { at }.max(0));
            Ok::<_, Error>(place.and_then(|at| usize::try_from(at).ok()).unwrap_or(other))
        };
        (start, stop) = (place("start", 0)?, place("stop", usize::MAX)?);
    }
    let mut count = 0;
    for (at, item) in list.try_iter()?.enumerate().take(stop).skip(start) {
        if equal(state, &item, &wanted)? {
            if name == "index" {
                return Ok(Value::from(at));
            }
            count += 1;
        }
    }
    if name == "index" {
        return Err(refused("index: the value is not in the list"));
    }
    Ok(Value::from(count))
}

/// An item by its key or its place.
pub(super) fn item(state: &State, value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(refused("an item of an undefined value"));
    }
    if value.kind() == ValueKind::Map
        && let Some(found) = item_of(state, value, key)?
    {
        return Ok(found);
    }
    let key = hashable(state, key)?;
    if let Some(name) = key.as_str() {
        return attribute(value, name);
    }
    let is_list = value.kind() == ValueKind::Seq;
    let at = key.as_i64().filter(|_| is_list || value.as_str().is_some());
    let Some(at) = at else { return Ok(Value::UNDEFINED) };
    if let Some(text) = value.as_str() {
        pay(state, text.len())?;
        let at = if at < 0 { at + text.chars().count() as i64 } else { at };
        let char = usize::try_from(at).ok().and_then(|at| text.chars().nth(at));
        return Ok(char.map_or(Value::UNDEFINED, |char| Value::from(char.to_string())));
    }
    let length = value.len().unwrap_or(0);
    let at = if at < 0 { at + length as i64 } else { at };
    match usize::try_from(at) {
        Ok(at) if at < length => value.get_item_by_index(at),
        _ => Ok(Value::UNDEFINED),
    }
}

/// A part of a text or a list, by Python's rules.
pub(super) fn slice(
    state: &State,
    value: &Value,
    start: Value,
    stop: Value,
    step: Value,
) -> Result<Value, Error> {
    let bound = |bound: Value| match bound.is_none() {
        true => Ok(None),
        false => {
            bound.as_i64().map(Some).ok_or_else(|| refused("a slice whose bound is not an integer"))
        }
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return Err(refused("a slice in steps of 0"));
    }
    if value.is_safe() {
        let plain = Value::from(value.as_str().unwrap_or_default());
        let [start, stop] = [start, stop].map(Value::from);
        return escaping::safe(state, slice(state, &plain, start, stop, Value::from(step))?);
    }
    if let Some(text) = value.as_str() {
        made(state, text.len())?;
        if step == 1 {
            let (start, stop) = (start.unwrap_or(0), stop.unwrap_or(i64::MAX));
            return Ok(Value::from(part(text, start, stop).1));
        }
        made(state, text.len().saturating_mul(4))?;
        let chars: Vec<char> = text.chars().collect();
        let places = places(chars.len(), start, stop, step);
        return Ok(Value::from(places.map(|at| chars[at]).collect::<String>()));
    }
    if let Some([first, _, apart]) = range_parts(value) {
        // A part of a range is a range, whose end is what the slice's own end stands for.
        let (start, end, length) = bounds(value.len().unwrap_or(0), start, stop, step);
        let place = |at: i128| first.saturating_add(at.saturating_mul(apart));
        let (start, stop, step) = (place(start), place(end), i128::from(step));
        let step = apart.saturating_mul(step);
        return Ok(Value::from_object(Range { start, stop, step, length }));
    }
    if !["list", "tuple"].contains(&type_name(value)) {
        return Err(refused(format!("a slice of a value of type {}", type_name(value))));
    }
    let items: Vec<Value> = match value.kind() {
        // Only what is taken is paid for.
        ValueKind::Seq => {
            let places = places(value.len().unwrap_or(0), start, stop, step);
            listed(state, places.map(|at| value.get_item_by_index(at).unwrap_or_default()))?
        }
        _ => {
            let all = listed(state, value.try_iter()?)?;
            places(all.len(), start, stop, step).map(|at| all[at].clone()).collect()
        }
    };
    Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

/// The places that a slice takes from so many.
fn places(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let (start, _, count) = bounds(length, start, stop, step);
    let step = i128::from(step);
    std::iter::successors(Some(start), move |at| Some(at + step))
        .take(count)
        .filter_map(|at| usize::try_from(at).ok())
}

/// Where a slice of so many begins and ends, and how many it takes.
fn bounds(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> (i128, i128, usize) {
    let length = i128::try_from(length).unwrap_or(i128::MAX);
    let (least, most) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let bound = |bound: i64| {
        let bound = i128::from(bound);
        (if bound < 0 { bound + length } else { bound }).clamp(least, most)
    };
    let (first, last) = if step > 0 { (least, most) } else { (most, least) };
    let (start, stop) = (start.map_or(first, bound), stop.map_or(last, bound));
    let away = if step > 0 { stop - start } else { start - stop };
    let count = away.max(0).unsigned_abs().div_ceil(u128::from(step.unsigned_abs()));
    (start, stop, usize::try_from(count).unwrap_or(usize::MAX))
}
