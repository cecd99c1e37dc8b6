//! Python's comparisons, as functions that pay for what they look at.

use std::cmp::Ordering;

use minijinja::tests::is_sameas;
use minijinja::value::{ObjectRepr, Rest, Value, ValueKind};
use minijinja::{Error, State};

use super::keep::{is_map, pairs, pay, refused, type_name};
use super::objects::{is_generator, is_namespace, view_name};
use super::operators::Number;
use super::plain::plain;

/// A value, then signs and values in turn: whether each sign holds between its neighbors.
pub(super) fn compare(state: &State, parts: Rest<Value>) -> Result<bool, Error> {
    for triple in parts.windows(3).step_by(2) {
        let [left, sign, right] = triple else { continue };
        let holds = match sign.as_str().unwrap_or_default() {
            "==" => equal(state, left, right)?,
            "!=" => !equal(state, left, right)?,
            "in" => contains(state, right, left)?,
            "not in" => !contains(state, right, left)?,
            sign => {
                let order = order(state, left, right, sign)?;
                match sign {
                    "<" => order.is_some_and(Ordering::is_lt),
                    "<=" => order.is_some_and(Ordering::is_le),
                    ">" => order.is_some_and(Ordering::is_gt),
                    _ => order.is_some_and(Ordering::is_ge),
                }
            }
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two values are equal.
pub(super) fn equal(state: &State, left: &Value, right: &Value) -> Result<bool, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        let (left, right) = (plain(state, left), plain(state, right));
        if left.len() != right.len() {
            return Ok(false);
        }
        pay(state, left.len())?;
        return Ok(left == right);
    }
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return Ok(match (left, right) {
            (Number::Integer(left), Number::Integer(right)) => left == right,
            (left, right) => left.real() == right.real(),
        });
    }
    // What can change, or can be walked once, equals itself only.
    if [left, right].into_iter().any(|value| is_generator(value) || is_namespace(value)) {
        return Ok(is_same(left, right));
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    if is_list(left) && is_list(right) {
        let alike = type_name(left) == type_name(right) && view_name(left) == view_name(right);
        if !alike || left.len() != right.len() {
            return Ok(false);
        }
        match view_name(left) {
            Some("values") => return Ok(is_same(left, right)),
            // These are sets.
            Some(_) => {
                for item in left.try_iter()? {
                    if !contains(state, right, &item)? {
                        return Ok(false);
                    }
                }
                return Ok(true);
            }
            None => {}
        }
        for (left, right) in left.try_iter()?.zip(right.try_iter()?) {
            pay(state, 1)?;
            if !equal(state, &left, &right)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if left.kind() == ValueKind::Map && right.kind() == ValueKind::Map {
        if left.len() != right.len() {
            return Ok(false);
        }
        for (key, value) in pairs(left)? {
            pay(state, 1)?;
            match item_of(state, right, &key)? {
                Some(other) if equal(state, &value, &other)? => {}
                _ => return Ok(false),
            }
        }
        return Ok(true);
    }
    let alone = [ValueKind::None, ValueKind::Undefined, ValueKind::Plain];
    Ok(left.kind() == right.kind() && alone.contains(&left.kind()) && left == right)
}

/// Whether two values are one object.
pub(super) fn is_same(left: &Value, right: &Value) -> bool {
    left.as_object().is_some() && is_sameas(left, right)
}

/// The entry of a map.
pub(super) fn item_of(state: &State, map: &Value, key: &Value) -> Result<Option<Value>, Error> {
    let plain = hashable(state, key)?;
    let map = map.as_object().filter(|object| object.repr() == ObjectRepr::Map);
    Ok(map.and_then(|map| map.get_value(&plain).or_else(|| map.get_value(key))))
}

/// The key of a new entry, after paying for its hash. Characters of it that stand for others stay: it
/// may be written with its map, and must not spell a name then.
pub(super) fn new_key(state: &State, key: &Value) -> Result<Value, Error> {
    hashable(state, key)?;
    Ok(key.clone())
}

/// A value that may be a key, after paying for its hash: Python hashes no lists and maps.
pub(super) fn hashable(state: &State, key: &Value) -> Result<Value, Error> {
    if let Some(text) = key.as_str() {
        pay(state, text.len())?;
        return Ok(Value::from(plain(state, text)));
    }
    match key.kind() {
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Plain => {
            Err(refused(format!("a key of type {}", type_name(key))))
        }
        _ => Ok(key.clone()),
    }
}

/// Whether a text, a list or the keys of a map contain a value.
pub(super) fn contains(state: &State, whole: &Value, part: &Value) -> Result<bool, Error> {
    if let Some(whole) = whole.as_str() {
        let Some(part) = part.as_str() else {
            return Err(refused(format!("{} in str is impossible", type_name(part))));
        };
        pay(state, whole.len() + part.len())?;
        return Ok(plain(state, whole).contains(&*plain(state, part)));
    }
    match whole.kind() {
        ValueKind::Undefined => Ok(false),
        ValueKind::Map if is_map(whole) => Ok(item_of(state, whole, part)?.is_some()),
        ValueKind::Seq | ValueKind::Iterable => {
            for item in whole.try_iter()? {
                pay(state, 1)?;
                if equal(state, &item, part)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(refused(format!("`in` a value of type {}", type_name(whole)))),
    }
}

/// How two values are ordered; `None` if one is not a number.
pub(super) fn order(
    state: &State,
    left: &Value,
    right: &Value,
    sign: &str,
) -> Result<Option<Ordering>, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        pay(state, left.len().min(right.len()))?;
        return Ok(Some(plain(state, left).cmp(&plain(state, right))));
    }
    if let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) {
        return Ok(match (left, right) {
            (Number::Integer(left), Number::Integer(right)) => Some(left.cmp(&right)),
            (left, right) => left.real().partial_cmp(&right.real()),
        });
    }
    let is_list = |value: &Value| matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    let ordered = is_list(left) && is_list(right) && left.is_tuple() == right.is_tuple();
    if ordered && !is_generator(left) && !is_generator(right) {
        for (left, right) in left.try_iter()?.zip(right.try_iter()?) {
            if !equal(state, &left, &right)? {
                return order(state, &left, &right, sign);
            }
        }
        return Ok(Some(left.len().cmp(&right.len())));
    }
    let (left, right) = (type_name(left), type_name(right));
    Err(refused(format!("{left} {sign} {right} is impossible")))
}
