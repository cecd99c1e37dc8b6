//! Namespaces: the only values that a template can change after they were made.
//!
//! A template that builds its output in an attribute, `ns.out = ns.out ~ part`, would copy all that it has
//! so far for each message. Such an attribute is a text that grows in its place here (`grow`), and
//! becomes a value when it is read (`objects.rs`).

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Rest, Value, ValueOrKwargs};
use minijinja::{Error, State};

use super::keep::{Purse, held, is_map, made, pairs, refused, type_name};
use super::objects::{Attribute, Held, Namespace};
use super::operators::{calculate, concat};
use super::text::write_str;

/// Where in a text an attribute was before what it grows by was computed.
#[derive(Debug)]
struct Mark {
    set: usize,
    length: usize,
}

impl Object for Mark {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// The namespace that a value must be.
fn of(value: &Value) -> Result<&Namespace, Error> {
    let wrong = || {
        refused(format!(
            "an attribute is set of a value of type {}: only namespaces have attributes that can be set",
            type_name(value)
        ))
    };
    value.downcast_object_ref::<Namespace>().ok_or_else(wrong)
}

/// The name of an attribute; `transformers` stores none that begins with an underscore.
fn named(name: &str) -> Result<&str, Error> {
    match name.starts_with('_') {
        true => Err(refused(format!("a namespace stores no attribute that begins with _: {name}"))),
        false => Ok(name),
    }
}

/// The function `namespace`.
pub(super) fn namespace(state: &State, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let new = Namespace::default();
    for given in given.into_values() {
        if !is_map(&given) {
            return Err(refused(format!("a namespace of a value of type {}", type_name(&given))));
        }
        held(state, given.clone())?;
        for (name, value) in pairs(&given)? {
            let unnamed = || refused("a namespace whose attribute name is not text");
            let name = name.as_str().ok_or_else(unnamed)?;
            made(state, name.len())?;
            new.attributes().set(named(name)?, Held::Value(value));
        }
    }
    Ok(Value::from_object(new))
}

/// Sets an attribute.
pub(super) fn assign(state: &State, to: &Value, name: &str, value: Value) -> Result<(), Error> {
    let value = held(state, value)?;
    of(to)?.attributes().set(named(name)?, Held::Value(value));
    Ok(())
}

/// What an attribute holds before what it grows by is computed: its value, or a mark in its text.
pub(super) fn mark(to: &Value, name: &str) -> Result<Value, Error> {
    let mut attributes = of(to)?.attributes();
    Ok(match attributes.get(name) {
        None => Value::UNDEFINED,
        Some(Attribute { held: Held::Value(value), .. }) => value.clone(),
        Some(Attribute { held: Held::Text(text), set, .. }) => {
            Value::from_object(Mark { set: *set, length: text.len() })
        }
    })
}

/// Sets an attribute to what it was and more: `parts` are a sign, `~` or `+`, and values, for `+` with
/// signs between them.
pub(super) fn grow(
    state: &State,
    to: &Value,
    name: &str,
    before: Value,
    parts: Rest<Value>,
) -> Result<(), Error> {
    let (space, name) = (of(to)?, named(name)?);
    let marked = before.downcast_object_ref::<Mark>();
    let joins = parts.first().and_then(Value::as_str) == Some("~");
    let texts = |parts: &[Value]| {
        parts.chunks(2).all(|part| {
            part[0].as_str() == Some("+") && part.get(1).is_some_and(|part| part.as_str().is_some())
        })
    };
    if (marked.is_none() && before.as_str().is_none()) || !(joins || texts(&parts)) {
        // A text that grew was one before, so `before` is a value or reads as one.
        let before = match marked {
            Some(_) => to.get_attr(name)?,
            None => before,
        };
        let mut all = vec![before];
        all.extend(parts.0);
        let value = match joins {
            true => {
                all.remove(1);
                concat(state, Rest(all))?
            }
            false => calculate(state, Rest(all))?,
        };
        return assign(state, to, name, value);
    }
    let mut purse = Purse::new(state);
    let values: Vec<&Value> = match joins {
        true => parts.iter().skip(1).collect(),
        false => parts.iter().skip(1).step_by(2).collect(),
    };
    values.into_iter().try_for_each(|value| write_str(&mut purse, value))?;
    let Some(mark) = marked else {
        let before = before.as_str().unwrap_or_default();
        made(state, before.len())?;
        let mut text = String::with_capacity(2 * (before.len() + purse.text.len()));
        text.push_str(before);
        text.push_str(&purse.text);
        space.attributes().set(name, Held::Text(text));
        return Ok(());
    };
    let mut attributes = space.attributes();
    match attributes.get(name) {
        Some(Attribute { held, set, .. }) if *set == mark.set => {
            let mut text = match held {
                Held::Text(text) => std::mem::take(text),
                // It was read in between.
                Held::Value(value) => {
                    let text = value.as_str().unwrap_or_default();
                    made(state, text.len())?;
                    text.to_owned()
                }
            };
            // What a macro has appended in between is not part of it.
            text.truncate(mark.length);
            made(state, purse.text.len())?;
            text.push_str(&purse.text);
            *held = Held::Text(text);
            Ok(())
        }
        _ => Err(refused(format!("{name} is set to something else while it is made longer"))),
    }
}
