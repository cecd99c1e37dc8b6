//! Filters and tests, where the engine's own differ from Jinja's or do more than they pay for.

use minijinja::value::{Kwargs, Rest, Tuple, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::args::Args;
use super::compare::{contains, equal, hashable, is_same, order};
use super::format::percent;
use super::json::tojson;
use super::keep::{
    Purse, is_callable, is_map, listed, pairs, pay, pay_for_arguments, refused, type_name, walkable,
};
use super::lazy::generator;
use super::methods::{attribute, has, is_known};
use super::objects::{is_generator, view_name};
use super::operators::{Number, calculate};
use super::strings;
use super::text::{text, write_str};
use super::{escaping, numbers, sorting, words};

/// Adds them.
pub(super) fn register(environment: &mut Environment<'_>) {
    // Jinja has none of these.
    for name in ["bool", "chain", "lines", "split", "zip"] {
        environment.remove_filter(name);
    }
    for name in ["endingwith", "startingwith", "safe", "int"] {
        environment.remove_test(name);
    }
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |state: &State, value: Value| match value.as_str() {
        Some(_) => Ok(value),
        None => text(state, &value).map(Value::from),
    });
    environment.add_filter("list", |state: &State, value: Value| {
        walkable(&value)?;
        listed(state, value.try_iter()?)
    });
    environment.add_filter("items", items);
    environment.add_filter("reverse", reverse);
    environment.add_filter("join", join);
    environment.add_filter("sum", sum);
    environment.add_filter("format", |state: &State, layout: Value, rest: Rest<ValueOrKwargs>| {
        let args = rest.into_values();
        let layout =
            layout.as_str().ok_or_else(|| refused("format of a value that is not text"))?;
        // Jinja formats by names where there are any.
        match args.last().filter(|last| last.is_kwargs()) {
            Some(named) => percent(state, layout, named),
            None => percent(state, layout, &Value::from(Tuple::from(args))),
        }
    });
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    choosing(environment, "map", Value::from_function(filters::map));
    choosing(environment, "select", Value::from_function(filters::select));
    choosing(environment, "reject", Value::from_function(filters::reject));
    choosing(environment, "selectattr", Value::from_function(filters::selectattr));
    choosing(environment, "rejectattr", Value::from_function(filters::rejectattr));
    environment.add_filter("attr", |state: &State, value: &Value, name: &Value| {
        let name = hashable(state, name)?;
        // Python's maps have methods as attributes, but no entries.
        match (name.as_str(), is_map(value)) {
            (Some(name), true) if !has(value, name) => Ok(Value::UNDEFINED),
            (name, _) => attribute(value, name.unwrap_or_default()),
        }
    });
    for name in ["length", "count"] {
        environment.add_filter(name, length);
    }
    environment.add_filter("last", last);
    escaping::register(environment);
    numbers::register(environment);
    sorting::register(environment);
    words::register(environment);
    tests(environment);
}

fn length(value: &Value) -> Result<usize, Error> {
    let known = match value.kind() {
        ValueKind::Undefined => Some(0),
        ValueKind::Map if !is_map(value) => None,
        ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => value.len(),
        _ => None,
    };
    known.ok_or_else(|| refused(format!("a value of type {} has no length", type_name(value))))
}

fn last(state: &mut State, value: &Value) -> Result<Value, Error> {
    if is_generator(value) {
        return Err(refused("the last of a generator: the filter list makes a list of it"));
    }
    Value::from_function(filters::last).call(state, std::slice::from_ref(value))
}

/// A filter of the engine that asks something of each item; Jinja's take none for a list of nothing.
fn choosing(environment: &mut Environment<'_>, name: &'static str, filter: Value) {
    let filter = move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let mut args = args.into_values();
        pay_for_arguments(state, &args)?;
        if let Some(path) = attribute_of(name, &args)?.filter(|path| path.split('.').any(is_known))
        {
            walkable(&args[0])?;
            let items = listed(state, args[0].try_iter()?)?;
            items.iter().try_for_each(|item| entries_only(name, item, &path))?;
            args[0] = Value::from(items);
        }
        let found = filter.call(state, &args)?;
        let found = listed(state, found.try_iter()?)?;
        generator(state, found)
    };
    environment.add_filter(name, filter);
}

/// The attribute that such a filter asks for, if it does.
fn attribute_of(filter: &str, args: &[Value]) -> Result<Option<String>, Error> {
    let attribute = match (filter, args) {
        ("selectattr" | "rejectattr", [_, attribute, ..]) => attribute.clone(),
        ("map", [_, .., named]) if named.is_kwargs() => named.get_attr("attribute")?,
        _ => return Ok(None),
    };
    Ok(attribute.as_str().map(str::to_owned))
}

/// Fails where a path leads to a method of a value, or a part of a number, which the engine's filters do not
/// see: they would find nothing there.
fn entries_only(filter: &str, item: &Value, path: &str) -> Result<(), Error> {
    let mut at = item.clone();
    for part in path.split('.') {
        let Ok(entry) = at.get_attr(part) else { return Ok(()) };
        if entry.is_undefined() && !attribute(&at, part)?.is_undefined() {
            let kind = type_name(&at);
            return Err(refused(format!("{filter} by {part} of a value of type {kind}")));
        }
        at = entry;
    }
    Ok(())
}

fn items(state: &State, value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::Map => {
            let pair = |(key, value)| Value::from(Tuple::from([key, value]));
            listed(state, pairs(value)?.map(pair))
        }
        _ => Err(refused(format!("items of a value of type {}", type_name(value)))),
    }
}

fn reverse(state: &State, value: &Value) -> Result<Value, Error> {
    walkable(value)?;
    if let Some(text) = value.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = listed(state, value.try_iter()?)?;
    items.reverse();
    Ok(Value::from(items))
}

/// The items, or an attribute of each.
fn chosen(state: &mut State, value: &Value, attribute: Option<&str>) -> Result<Value, Error> {
    walkable(value)?;
    let Some(attribute) = attribute else { return Ok(value.clone()) };
    let named = Kwargs::from_iter([("attribute", Value::from(attribute))]);
    state.apply_filter("map", &[value.clone(), Value::from(named)])
}

fn join(
    state: &mut State,
    value: &Value,
    between: Option<Value>,
    attribute: Option<&str>,
    rest: Kwargs,
) -> Result<String, Error> {
    let between = match between {
        Some(between) => Some(between),
        None => rest.get::<Option<Value>>("d")?,
    };
    let attribute = attribute.or(rest.get::<Option<&str>>("attribute")?);
    rest.assert_all_used()?;
    let value = chosen(state, value, attribute)?;
    let between = between.map_or_else(|| Ok(String::new()), |between| text(state, &between))?;
    let mut purse = Purse::new(state);
    for (at, item) in value.try_iter()?.enumerate() {
        purse.push(if at > 0 { &between } else { "" })?;
        write_str(&mut purse, &item)?;
    }
    Ok(purse.text)
}

fn sum(
    state: &mut State,
    value: &Value,
    attribute: Option<&str>,
    start: Option<Value>,
    rest: Kwargs,
) -> Result<Value, Error> {
    let attribute = attribute.or(rest.get::<Option<&str>>("attribute")?);
    let start = match start {
        Some(start) => Some(start),
        None => rest.get::<Option<Value>>("start")?,
    };
    rest.assert_all_used()?;
    let value = chosen(state, value, attribute)?;
    let mut result = start.unwrap_or_else(|| Value::from(0));
    for item in value.try_iter()? {
        pay(state, 1)?;
        result = calculate(state, Rest(vec![result, Value::from("+"), item]))?;
    }
    Ok(result)
}

fn default(args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let args = args.into_values();
    let Some((value, rest)) = args.split_first() else { return Ok(Value::UNDEFINED) };
    // None and an undefined value are defaults like others.
    let mut args = Args::new("default", rest)?;
    let other = args.any("default_value")?;
    let falsy = args.any("boolean")?.is_some_and(|falsy| falsy.is_true());
    args.end()?;
    let missing = value.is_undefined() || falsy && !value.is_true();
    Ok(if missing { other.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

fn tests(environment: &mut Environment<'_>) {
    environment.add_test("iterable", |value: &Value| walkable(value).is_ok());
    environment.add_test("sequence", |value: &Value| {
        walkable(value).is_ok() && !is_generator(value) && view_name(value).is_none()
    });
    environment.add_test("mapping", |value: &Value| is_map(value));
    for name in ["odd", "even"] {
        environment.add_test(name, move |value: &Value| match Number::of(value) {
            Some(number) => Ok((number.real().rem_euclid(2.0) == 1.0) == (name == "odd")),
            None => Err(refused(format!("{name}: a value of type {}", type_name(value)))),
        });
    }
    environment.add_test("callable", |value: &Value| is_callable(value));
    for name in ["eq", "equalto", "=="] {
        environment
            .add_test(name, |state: &State, left: &Value, right: &Value| equal(state, left, right));
    }
    environment.add_test("sameas", |state: &State, left: &Value, right: &Value| {
        let object = left.as_object().is_some() || right.as_object().is_some();
        let empty = left.is_tuple() && right.is_tuple() && left.len() == Some(0);
        match object && !empty {
            true => Ok(is_same(left, right)),
            false => Ok(type_name(left) == type_name(right) && equal(state, left, right)?),
        }
    });
    environment.add_test("lower", |state: &State, value: &Value| cased(state, value, "islower"));
    environment.add_test("upper", |state: &State, value: &Value| cased(state, value, "isupper"));
    for name in ["ne", "!="] {
        environment.add_test(name, |state: &State, left: &Value, right: &Value| {
            equal(state, left, right).map(|equal| !equal)
        });
    }
    environment
        .add_test("in", |state: &State, part: &Value, whole: &Value| contains(state, whole, part));
    for name in ["lt", "lessthan", "<"] {
        ordered(environment, name, "<", std::cmp::Ordering::is_lt);
    }
    for name in ["le", "<="] {
        ordered(environment, name, "<=", std::cmp::Ordering::is_le);
    }
    for name in ["gt", "greaterthan", ">"] {
        ordered(environment, name, ">", std::cmp::Ordering::is_gt);
    }
    for name in ["ge", ">="] {
        ordered(environment, name, ">=", std::cmp::Ordering::is_ge);
    }
}

/// Whether a text has letters of one case only.
fn cased(state: &State, value: &Value, method: &str) -> Result<bool, Error> {
    let value = Value::from(text(state, value)?);
    let found = strings::method(state, &value, method, &mut Args::new(method, &[])?)?;
    Ok(found.is_true())
}

fn ordered(
    environment: &mut Environment<'_>,
    name: &'static str,
    sign: &'static str,
    holds: fn(std::cmp::Ordering) -> bool,
) {
    environment.add_test(name, move |state: &State, left: &Value, right: &Value| {
        order(state, left, right, sign).map(|order| order.is_some_and(holds))
    });
}
