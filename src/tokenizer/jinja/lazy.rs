//! What Python computes item by item: generators, which can be walked once, and ranges.

use minijinja::value::Value;
use minijinja::{Error, State};

use super::keep::{Namespaces, check, listed, refused, type_name};
use super::objects::{Generator, Range, is_generator};
use super::operators::Number;

/// The longest range.
const LONGEST_RANGE: u128 = 100_000;

/// A generator of these items, none of which nests too deep: nothing walks over it to see.
pub(super) fn generator(state: &State, items: Vec<Value>) -> Result<Value, Error> {
    let items = Value::from(items);
    let (namespaces, depth) = match check(state, &items, Namespaces::Refused) {
        Ok(depth) => (false, depth),
        Err(_) => (true, check(state, &items, Namespaces::Fine)?),
    };
    let items = listed(state, items.try_iter()?)?;
    Ok(Value::from_object(Generator::of(items, namespaces, depth)))
}

/// A value whose length is known: the items of a generator as a list.
pub(super) fn counted(state: &State, value: Value) -> Result<Value, Error> {
    match is_generator(&value) {
        true => Ok(Value::from(listed(state, value.try_iter()?)?)),
        false => Ok(value),
    }
}

/// The function `range`, no longer than `transformers` allows.
pub(super) fn range(
    first: &Value,
    stop: Option<Value>,
    step: Option<Value>,
) -> Result<Value, Error> {
    let integer = |value: &Value| match Number::of(value) {
        Some(Number::Integer(number)) => Ok(number),
        _ => Err(refused(format!("range over a value of type {}", type_name(value)))),
    };
    let (start, stop) = match stop {
        Some(stop) => (integer(first)?, integer(&stop)?),
        None => (0, integer(first)?),
    };
    let step = step.map_or(Ok(1), |step| integer(&step))?;
    let away = match step {
        0 => return Err(refused("range in steps of 0")),
        1.. => stop.saturating_sub(start),
        _ => start.saturating_sub(stop),
    };
    let length = away.max(0).unsigned_abs().div_ceil(step.unsigned_abs());
    if length > LONGEST_RANGE {
        return Err(refused(format!("a range of more than {LONGEST_RANGE}")));
    }
    Ok(Value::from_object(Range { start, stop, step, length: length as usize }))
}
