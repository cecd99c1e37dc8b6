//! Filters that order, group and part items, as Jinja's do.

use std::cmp::Ordering;
use std::collections::HashSet;

use minijinja::value::{Rest, Tuple, Value, ValueOrKwargs};
use minijinja::{Environment, Error, State};

use super::args::Args;
use super::compare::{equal, hashable, order};
use super::keep::{
    is_map, listed, made, pairs, pay, pay_for_arguments, refused, type_name, walkable,
};
use super::lazy::generator;
use super::methods::item;
use super::objects::Group;
use super::operators::Number;

/// A filter over items: its state, its value and its other arguments.
type Filter = fn(&State, &Value, &mut Args<'_>) -> Result<Value, Error>;

/// Adds them.
pub(super) fn register(environment: &mut Environment<'_>) {
    let filters: [(&'static str, Filter); 8] = [
        ("sort", sort),
        ("min", |state, value, args| extreme(state, value, args, Ordering::is_lt)),
        ("max", |state, value, args| extreme(state, value, args, Ordering::is_gt)),
        ("unique", unique),
        ("groupby", groupby),
        ("dictsort", dictsort),
        ("batch", batch),
        ("slice", slice),
    ];
    for (name, filter) in filters {
        environment.add_filter(name, move |state: &State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            let Some((value, rest)) = args.split_first() else { return Ok(Value::UNDEFINED) };
            walkable(value)?;
            pay_for_arguments(state, &args)?;
            let mut args = Args::new(name, rest)?;
            let result = filter(state, value, &mut args)?;
            args.end()?;
            Ok::<_, Error>(result)
        });
    }
}

/// What items are compared by.
struct Key {
    /// Several, each a path; none for the item itself.
    attributes: Vec<Vec<Value>>,
    default: Option<Value>,
    /// Whether texts of either case are alike.
    folds: bool,
}

impl Key {
    fn new(attribute: Option<&Value>, default: Option<Value>, folds: bool) -> Result<Self, Error> {
        let path = |text: &str| {
            let step = |part: &str| match part.parse::<i64>() {
                Ok(at) if part.bytes().all(|byte| byte.is_ascii_digit()) => Value::from(at),
                _ => Value::from(part),
            };
            text.split('.').map(step).collect::<Vec<_>>()
        };
        let attributes = match attribute {
            None => Vec::new(),
            Some(attribute) => match attribute.as_str() {
                Some(text) => text.split(',').map(path).collect(),
                None if attribute.is_integer() => vec![vec![attribute.clone()]],
                None => {
                    return Err(refused(format!("an attribute named by {}", type_name(attribute))));
                }
            },
        };
        Ok(Self { attributes, default, folds })
    }

    /// The key of an item: one for each attribute.
    fn of(&self, state: &State, one: &Value) -> Result<Vec<Value>, Error> {
        if self.attributes.is_empty() {
            return Ok(vec![self.folded(state, one.clone())?]);
        }
        let found = |path: &Vec<Value>| {
            let mut found = one.clone();
            for step in path {
                found = item(state, &found, step)?;
                if let Some(default) = self.default.as_ref().filter(|_| found.is_undefined()) {
                    found = default.clone();
                }
            }
            self.folded(state, found)
        };
        self.attributes.iter().map(found).collect()
    }

    fn folded(&self, state: &State, value: Value) -> Result<Value, Error> {
        match value.as_str().filter(|_| self.folds) {
            Some(text) => {
                made(state, text.len())?;
                Ok(Value::from(text.to_lowercase()))
            }
            None => Ok(value),
        }
    }
}

/// Whether one key comes before another.
fn before(state: &State, one: &[Value], other: &[Value]) -> Result<bool, Error> {
    for (one, other) in one.iter().zip(other) {
        pay(state, 1)?;
        // As Python compares lists: the first parts that differ decide, and a part alone always does.
        if one.is_undefined() || !equal(state, one, other)? {
            return Ok(order(state, one, other, "<")?.is_some_and(Ordering::is_lt));
        }
    }
    match (one, other) {
        ([one], [other]) => Ok(order(state, one, other, "<")?.is_some_and(Ordering::is_lt)),
        _ => Ok(false),
    }
}

/// Sorts so that equal items keep their order; with an order that can fail, so not the library's own.
fn sorted(
    state: &State,
    mut items: Vec<(Vec<Value>, Value)>,
) -> Result<Vec<(Vec<Value>, Value)>, Error> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let (left, right) = (sorted(state, items)?, sorted(state, right)?);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some((one, _)), Some((other, _))) = (left.peek(), right.peek()) {
        match before(state, other, one)? {
            true => merged.extend(right.next()),
            false => merged.extend(left.next()),
        }
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// The items with their keys.
fn keyed(
    state: &State,
    items: impl Iterator<Item = Value>,
    key: &Key,
) -> Result<Vec<(Vec<Value>, Value)>, Error> {
    let items = listed(state, items)?;
    made(state, items.len().saturating_mul(64))?;
    items.into_iter().map(|item| Ok((key.of(state, &item)?, item))).collect()
}

fn given(args: &mut Args<'_>, name: &str) -> Result<bool, Error> {
    Ok(args.optional(name)?.is_some_and(|given| given.is_true()))
}

fn sort(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    let (reverse, exact) = (given(args, "reverse")?, given(args, "case_sensitive")?);
    let key = Key::new(args.optional("attribute")?.as_ref(), None, !exact)?;
    let items = keyed(state, value.try_iter()?, &key)?;
    Ok(Value::from(ordered(state, items, reverse)?))
}

/// The items in order; in reverse, equal ones still keep theirs.
fn ordered(
    state: &State,
    mut items: Vec<(Vec<Value>, Value)>,
    reverse: bool,
) -> Result<Vec<Value>, Error> {
    if reverse {
        items.reverse();
    }
    let mut items: Vec<Value> = sorted(state, items)?.into_iter().map(|(_, item)| item).collect();
    if reverse {
        items.reverse();
    }
    Ok(items)
}

fn extreme(
    state: &State,
    value: &Value,
    args: &mut Args<'_>,
    better: fn(Ordering) -> bool,
) -> Result<Value, Error> {
    let exact = given(args, "case_sensitive")?;
    let key = Key::new(args.optional("attribute")?.as_ref(), None, !exact)?;
    let mut best: Option<(Vec<Value>, Value)> = None;
    for item in value.try_iter()? {
        let own = key.of(state, &item)?;
        let wins = match &best {
            None => true,
            Some((best, _)) if better(Ordering::Less) => before(state, &own, best)?,
            Some((best, _)) => before(state, best, &own)?,
        };
        if wins {
            best = Some((own, item));
        }
    }
    Ok(best.map_or(Value::UNDEFINED, |(_, item)| item))
}

fn unique(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    let exact = given(args, "case_sensitive")?;
    let key = Key::new(args.optional("attribute")?.as_ref(), None, !exact)?;
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (key, item) in keyed(state, value.try_iter()?, &key)? {
        let mut new = Vec::with_capacity(key.len());
        for part in key {
            let part = hashable(state, &part)?;
            // One number is as good as another that equals it.
            new.push(match Number::of(&part) {
                Some(Number::Integer(number)) => Value::from(number),
                Some(Number::Float(real)) if real.fract() == 0.0 && real.abs() < 1e18 => {
                    Value::from(i128::from(real as i64))
                }
                _ => part,
            });
        }
        if seen.insert(new) {
            found.push(item);
        }
    }
    generator(state, found)
}

fn groupby(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    let attribute = args.required("attribute")?;
    let default = args.optional("default")?;
    let exact = given(args, "case_sensitive")?;
    let key = Key::new(Some(&attribute), default.clone(), !exact)?;
    let shown = Key::new(Some(&attribute), default, false)?;
    let mut groups: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
    let items = keyed(state, value.try_iter()?, &key)?;
    for (key, item) in sorted(state, items)? {
        let known = match groups.last() {
            Some((last, _)) => {
                let mut same = true;
                for (one, other) in last.iter().zip(&key) {
                    same = same && equal(state, one, other)?;
                }
                same
            }
            None => false,
        };
        match groups.last_mut().filter(|_| known) {
            Some((_, items)) => items.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    let group = |(_, items): (Vec<Value>, Vec<Value>)| {
        let mut names = shown.of(state, &items[0])?;
        made(state, items.len().saturating_mul(32))?;
        let grouper = if names.len() == 1 { names.remove(0) } else { Value::from(names) };
        Ok(Value::from_object(Group { grouper, list: Value::from(items) }))
    };
    Ok(Value::from(groups.into_iter().map(group).collect::<Result<Vec<Value>, Error>>()?))
}

fn dictsort(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    if !is_map(value) {
        return Err(refused(format!("dictsort of a value of type {}", type_name(value))));
    }
    let exact = given(args, "case_sensitive")?;
    let by = args.optional("by")?;
    let reverse = given(args, "reverse")?;
    let at = match by.as_ref().map(|by| by.as_str()) {
        None | Some(Some("key")) => 0,
        Some(Some("value")) => 1,
        _ => return Err(refused("dictsort by something other than \"key\" and \"value\"")),
    };
    let key = Key::new(Some(&Value::from(at)), None, !exact)?;
    let pair = |(key, value)| Value::from(Tuple::from([key, value]));
    let items = keyed(state, pairs(value)?.map(pair), &key)?;
    Ok(Value::from(ordered(state, items, reverse)?))
}

fn count(args: &mut Args<'_>, name: &str) -> Result<usize, Error> {
    let count = args.required(name)?;
    let count = count.as_i64().ok_or_else(|| refused(format!("{name} is not an integer")))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

fn batch(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    let (width, fill) = (count(args, "linecount")?, args.optional("fill_with")?);
    let (mut rows, mut row) = (Vec::new(), Vec::new());
    for item in value.try_iter()? {
        made(state, 64)?;
        if row.len() == width {
            rows.push(Value::from(std::mem::take(&mut row)));
        }
        row.push(item);
    }
    if !row.is_empty() {
        if let Some(fill) = fill {
            made(state, width.saturating_sub(row.len()).saturating_mul(32))?;
            row.resize(row.len().max(width), fill);
        }
        rows.push(Value::from(row));
    }
    generator(state, rows)
}

fn slice(state: &State, value: &Value, args: &mut Args<'_>) -> Result<Value, Error> {
    let (count, fill) = (count(args, "slices")?, args.optional("fill_with")?);
    let items = listed(state, value.try_iter()?)?;
    if count == 0 {
        return Err(refused("slice into no parts"));
    }
    made(state, count.saturating_add(items.len()).saturating_mul(64))?;
    let (each, more) = (items.len() / count, items.len() % count);
    let mut items = items.into_iter();
    let part = |at: usize| {
        let mut part: Vec<Value> = items.by_ref().take(each + usize::from(at < more)).collect();
        part.extend(fill.clone().filter(|_| at >= more));
        Value::from(part)
    };
    let parts = (0..count).map(part).collect();
    generator(state, parts)
}
