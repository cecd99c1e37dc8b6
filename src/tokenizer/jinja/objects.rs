//! The values of Python's that the engine does not have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

/// A namespace.
#[derive(Debug, Default)]
pub(super) struct Namespace {
    attributes: Mutex<Attributes>,
}

/// The attributes of a namespace.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// In the order in which they were first set.
    all: Vec<Attribute>,
    places: HashMap<String, usize>,
}

/// An attribute.
#[derive(Debug)]
pub(super) struct Attribute {
    name: String,
    /// What it holds.
    pub(super) held: Held,
    /// How often it was set to another value, rather than grown.
    pub(super) set: usize,
}

/// What an attribute holds.
#[derive(Debug)]
pub(super) enum Held {
    /// A value.
    Value(Value),
    /// A text that grows.
    Text(String),
}

impl Attributes {
    /// Sets one.
    pub(super) fn set(&mut self, name: &str, held: Held) {
        match self.places.get(name) {
            Some(place) => {
                let attribute = &mut self.all[*place];
                attribute.held = held;
                attribute.set += 1;
            }
            None => {
                self.places.insert(name.to_owned(), self.all.len());
                self.all.push(Attribute { name: name.to_owned(), held, set: 0 });
            }
        }
    }

    /// One of them.
    pub(super) fn get(&mut self, name: &str) -> Option<&mut Attribute> {
        self.places.get(name).map(|place| &mut self.all[*place])
    }
}

impl Namespace {
    /// Its attributes, for this thread.
    pub(super) fn attributes(&self) -> MutexGuard<'_, Attributes> {
        self.attributes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let mut attributes = self.attributes();
        let held = &mut attributes.get(key.as_str()?)?.held;
        if let Held::Text(text) = held {
            *held = Held::Value(Value::from(std::mem::take(text)));
        }
        match held {
            Held::Value(value) => Some(value.clone()),
            Held::Text(_) => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let attributes = self.attributes();
        let names = attributes.all.iter().map(|attribute| Value::from(attribute.name.as_str()));
        Enumerator::Values(names.collect())
    }
}

/// Whether a value is a namespace.
pub(super) fn is_namespace(value: &Value) -> bool {
    value.downcast_object_ref::<Namespace>().is_some()
}

/// The result of a filter such as `map`: its items, which are gone once they were walked over.
#[derive(Debug)]
pub(super) struct Generator {
    items: Mutex<vec::IntoIter<Value>>,
    /// Whether there is a namespace in them, as long as they are there.
    namespaces: bool,
    /// How deep they nest.
    depth: usize,
}

impl Generator {
    /// Of these items.
    pub(super) fn of(items: Vec<Value>, namespaces: bool, depth: usize) -> Self {
        Self { items: Mutex::new(items.into_iter()), namespaces, depth }
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let own = Arc::clone(self);
        let next = move || own.items.lock().unwrap_or_else(PoisonError::into_inner).next();
        Enumerator::Iter(Box::new(std::iter::from_fn(next)))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }
}

/// Whether a value is a generator in which there may be a namespace.
pub(super) fn may_hold_namespaces(value: &Value) -> bool {
    value.downcast_object_ref::<Generator>().is_some_and(|generator| generator.namespaces)
}

/// How deep a generator nests; 0 for other values.
pub(super) fn generator_depth(value: &Value) -> usize {
    value.downcast_object_ref().map_or(0, |Generator { depth, .. }| *depth)
}

/// Whether a value can be walked once only.
pub(super) fn is_generator(value: &Value) -> bool {
    value.downcast_object_ref::<Generator>().is_some()
}

/// What a map's methods `keys`, `values` and `items` give: a list that prints and counts as what it is.
#[derive(Debug)]
pub(super) struct View {
    /// The name of the method.
    pub(super) name: &'static str,
    /// What there is to see.
    pub(super) items: Vec<Value>,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.items.clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.items.len())
    }
}

/// The method of a map that gave a value, if one did.
pub(super) fn view_name(value: &Value) -> Option<&'static str> {
    value.downcast_object_ref().map(|View { name, .. }| *name)
}

/// Integers at equal distances.
#[derive(Debug)]
pub(super) struct Range {
    /// The first.
    pub(super) start: i128,
    /// Where it ends, as it was given.
    pub(super) stop: i128,
    /// The distance.
    pub(super) step: i128,
    /// How many there are.
    pub(super) length: usize,
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let at = key.as_usize().filter(|at| *at < self.length)?;
        // No longer than the longest, so each place is an integer between the ends.
        Some(Value::from((self.start + at as i128 * self.step) as i64))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }
}

/// Where a range begins and ends, and its distance, if the value is one.
pub(super) fn range_parts(value: &Value) -> Option<[i128; 3]> {
    value.downcast_object_ref().map(|Range { start, stop, step, .. }| [*start, *stop, *step])
}

/// How a range is printed, if the value is one.
pub(super) fn range_text(value: &Value) -> Option<String> {
    let Range { start, stop, step, .. } = value.downcast_object_ref()?;
    Some(match step {
        1 => format!("range({start}, {stop})"),
        _ => format!("range({start}, {stop}, {step})"),
    })
}

/// A group: a pair that has names for its parts.
#[derive(Debug)]
pub(super) struct Group {
    /// What the items have in common.
    pub(super) grouper: Value,
    /// The items.
    pub(super) list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// Whether a value is a group, which Python prints as a tuple.
pub(super) fn is_group(value: &Value) -> bool {
    value.downcast_object_ref::<Group>().is_some()
}
