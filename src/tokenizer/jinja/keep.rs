//! What a template may store, and what its work costs.
//!
//! A value that is stored holds nothing deeper than [`DEEPEST`], and what a namespace stores holds no
//! namespace. Only a namespace can be changed after it was made, so no value can hold itself; and
//! whatever walks a value recursively, to print, to compare or to drop it, has a bounded depth.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::objects::{
    generator_depth, is_generator, is_namespace, may_hold_namespaces, range_text, view_name,
};

/// How deep a value may nest.
pub(super) const DEEPEST: usize = 64;

/// Bytes that one unit of the engine's fuel pays for.
const BYTES: usize = 64;

/// How far a text is paid for ahead, at the most.
const AHEAD: usize = 4096;

/// The cost of an item that is visited, in bytes.
const ITEM: usize = 2;

/// The cost of a list or a map that is visited, in bytes.
const LIST: usize = 48;

/// The cost of a place in a list, in bytes.
pub(super) const PLACE: usize = 16;

/// A failure of a template's own making, in words for its user.
pub(super) fn refused(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

/// Pays for work on this many bytes, before it is done.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    match bytes.div_ceil(BYTES) {
        0 => Ok(()),
        fuel => state.consume_fuel(fuel as u64),
    }
}

/// The variable that holds what memory is left.
pub(super) const MEMORY: &str = "__memory";

/// The bytes of texts and lists that a template may still make.
#[derive(Debug)]
pub(super) struct Memory(AtomicUsize);

impl Memory {
    /// So many bytes, as the variable [`MEMORY`].
    pub(super) fn of(bytes: usize) -> Value {
        Value::from_object(Self(AtomicUsize::new(bytes)))
    }
}

impl Object for Memory {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// Pays for a text or a list of this many bytes, before it is made: for the work, and from the memory.
pub(super) fn made(state: &State, bytes: usize) -> Result<(), Error> {
    pay(state, bytes)?;
    let memory = state.lookup(MEMORY);
    let Some(Memory(left)) = memory.as_ref().and_then(Value::downcast_object_ref) else {
        return Ok(());
    };
    let take = |left: usize| left.checked_sub(bytes);
    let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
    taken.map(drop).map_err(|_| Error::from(ErrorKind::OutOfFuel))
}

/// Text that grows as far as the fuel lasts.
pub(super) struct Purse<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    /// What was written.
    pub(super) text: String,
    paid: usize,
}

impl<'a, 'b, 'c> Purse<'a, 'b, 'c> {
    /// An empty text.
    pub(super) fn new(state: &'a State<'b, 'c>) -> Self {
        Self { state, text: String::new(), paid: 0 }
    }

    /// Appends to the text, after paying for it.
    pub(super) fn push(&mut self, more: &str) -> Result<(), Error> {
        let length = self.text.len() + more.len();
        if length > self.paid {
            // Pays ahead, so that small pieces are not rounded up one by one.
            let ahead = length.next_multiple_of(self.paid.clamp(BYTES, AHEAD));
            made(self.state, ahead - self.paid)?;
            self.paid = ahead;
        }
        self.text.push_str(more);
        Ok(())
    }
}

/// What is stored in a variable: a plain value, or a namespace by itself.
pub(super) fn kept(state: &State, value: Value) -> Result<Value, Error> {
    if is_plain(&value) {
        check(state, &value, Namespaces::Fine)?;
    }
    Ok(value)
}

/// What is stored in a namespace: a plain value.
pub(super) fn held(state: &State, value: Value) -> Result<Value, Error> {
    if !is_plain(&value) || may_hold_namespaces(&value) {
        return Err(holds_it());
    }
    check(state, &value, Namespaces::Refused)?;
    Ok(value)
}

/// Pays for every item in a value, and fails unless all of them may be stored; how deep it nests.
pub(super) fn check(state: &State, value: &Value, namespaces: Namespaces) -> Result<usize, Error> {
    if !is_walked(value) {
        return Ok(generator_depth(value));
    }
    let mut walked = Walk { state, unpaid: 0, namespaces, deepest: 0 };
    walked.walk(value, 1)?;
    pay(state, walked.unpaid)?;
    Ok(walked.deepest)
}

/// Pays for all text and items in a value, for work that reads all of it, and gives their size.
pub(super) fn pay_for_all(state: &State, value: &Value) -> Result<usize, Error> {
    let mut size = ITEM;
    if let Some(text) = value.as_str() {
        size += text.len();
    }
    pay(state, size)?;
    if is_walked(value) {
        for (key, value) in pairs(value)? {
            size += pay_for_all(state, &key)? + pay_for_all(state, &value)?;
        }
    }
    Ok(size)
}

/// Pays for the arguments of a filter as often as it has items: a name of an attribute is read for each.
pub(super) fn pay_for_arguments(state: &State, args: &[Value]) -> Result<(), Error> {
    let Some((value, args)) = args.split_first() else { return Ok(()) };
    let items = value.len().unwrap_or(0);
    for arg in args {
        let size = pay_for_all(state, arg)?;
        pay(state, size.saturating_mul(items))?;
    }
    Ok(())
}

/// The items as a list, each paid for before there is a place for it.
pub(super) fn listed(
    state: &State,
    items: impl Iterator<Item = Value>,
) -> Result<Vec<Value>, Error> {
    let mut list = Vec::new();
    for item in items {
        if list.len() % 2 == 0 {
            made(state, 4 * PLACE)?;
        }
        list.push(item);
    }
    Ok(list)
}

/// Whether a value holds others that can be looked at; a generator would lose them.
fn is_walked(value: &Value) -> bool {
    let kinds = [ValueKind::Seq, ValueKind::Iterable, ValueKind::Map];
    kinds.contains(&value.kind()) && !is_generator(value)
}

struct Walk<'a, 'b, 'c> {
    state: &'a State<'b, 'c>,
    unpaid: usize,
    namespaces: Namespaces,
    deepest: usize,
}

/// Whether namespaces may be inside of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namespaces {
    /// In a variable: no namespace holds another, so none of them can hold itself.
    Fine,
    /// In a namespace.
    Refused,
}

impl Walk<'_, '_, '_> {
    fn reach(&mut self, depth: usize) -> Result<(), Error> {
        self.deepest = self.deepest.max(depth);
        match self.deepest > DEEPEST {
            true => Err(refused(format!("a value nested deeper than {DEEPEST}"))),
            false => Ok(()),
        }
    }

    fn walk(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.reach(depth)?;
        self.unpaid += LIST;
        for (key, value) in pairs(value)? {
            self.unpaid += ITEM;
            if self.unpaid >= BYTES {
                pay(self.state, std::mem::take(&mut self.unpaid))?;
            }
            for value in [key, value] {
                let fine = self.namespaces == Namespaces::Fine;
                if fine && is_namespace(&value) {
                    continue;
                }
                if !is_plain(&value) || !fine && may_hold_namespaces(&value) {
                    return Err(holds_it());
                }
                self.reach(depth + generator_depth(&value))?;
                if is_walked(&value) {
                    self.walk(&value, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// The entries of a map, or the items of a list, each with nothing as its key.
pub(super) fn pairs(value: &Value) -> Result<Box<dyn Iterator<Item = (Value, Value)> + '_>, Error> {
    let map = value.as_object().filter(|object| object.repr() == ObjectRepr::Map);
    match map.and_then(|map| map.try_iter_pairs()) {
        Some(pairs) => Ok(Box::new(pairs)),
        None => Ok(Box::new(value.try_iter()?.map(|item| (Value::from(()), item)))),
    }
}

/// Whether a value is data: not a namespace, a macro, a loop or a method.
fn is_plain(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Plain | ValueKind::Invalid => false,
        ValueKind::Map => is_map(value),
        _ => true,
    }
}

fn holds_it() -> Error {
    refused(
        "a namespace, a macro or a loop inside of another value; such a value could hold itself",
    )
}

/// The type behind an object: the engine does not publish its own types, but their names.
fn behind(value: &Value) -> &'static str {
    value.as_object().map_or("", |object| object.type_name())
}

/// Whether a value is a map of values, not one of the engine's objects that look like maps.
pub(super) fn is_map(value: &Value) -> bool {
    // Maps are the libraries' own: `IndexMap<Value, Value>`, `BTreeMap<&str, Value>`.
    value.kind() == ValueKind::Map && (behind(value).contains("Map<") || value.is_kwargs())
}

/// Whether a value is the engine's own state of a loop, which holds items of the loop.
pub(super) fn is_loop(value: &Value) -> bool {
    behind(value).ends_with("::Loop")
}

/// Whether a value can be called.
pub(super) fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain || behind(value).ends_with("::Macro")
}

/// Fails for what Python cannot walk over.
pub(super) fn walkable(value: &Value) -> Result<(), Error> {
    let items = match value.kind() {
        ValueKind::None | ValueKind::Bool | ValueKind::Number | ValueKind::Plain => false,
        ValueKind::Map => is_map(value),
        _ => true,
    };
    if items { Ok(()) } else { Err(refused(format!("{} is not iterable", type_name(value)))) }
}

/// What Python calls the type of a value.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        _ if is_generator(value) => "generator",
        _ if range_text(value).is_some() => "range",
        _ if view_name(value).is_some() => "dict view",
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() => "tuple",
        ValueKind::Seq | ValueKind::Iterable => "list",
        ValueKind::Map if is_map(value) => "dict",
        _ => "object",
    }
}
