//! Filters and tests, where the engine's own differ from Jinja's or do more than they pay for.

use minijinja::value::{Kwargs, Rest, Tuple, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::args::Args;
use super::compare::{contains, equal, hashable, order};
use super::format::percent;
use super::json::tojson;
use super::keep::{
    Purse, is_callable, listed, pairs, pay, pay_for_all, refused, type_name, walkable,
};
use super::methods::attribute;
use super::operators::calculate;
use super::plain::meant;
use super::strings;
use super::text::{text, write_repr, write_str};

/// Adds them.
pub(super) fn register(environment: &mut Environment<'_>) {
    // Jinja has none of these.
    for name in ["bool", "chain", "lines", "split", "zip"] {
        environment.remove_filter(name);
    }
    for name in ["endingwith", "startingwith", "safe"] {
        environment.remove_test(name);
    }
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |state: &State, value: Value| match value.as_str() {
        Some(_) => Ok(value),
        None => text(state, &value).map(Value::from),
    });
    environment.add_filter("pprint", |state: &State, value: Value| {
        let mut purse = Purse::new(state);
        write_repr(&mut purse, &value)?;
        Ok::<_, Error>(purse.text)
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
        let args = Value::from(Tuple::from(rest.into_values()));
        let layout = layout.as_str().ok_or_else(|| refused("format of what is no text"))?;
        percent(state, layout, &args)
    });
    environment.add_filter("replace", |state: &State, value: Value, args: Rest<ValueOrKwargs>| {
        let value = Value::from(text(state, &value)?);
        let args = args.into_values();
        let mut args = Args::new("replace", &args)?;
        let result = strings::method(state, &value, "replace", &mut args)?;
        args.end()?;
        Ok::<_, Error>(result)
    });
    environment.add_filter("center", |state: &State, value: Value, width: Option<Value>| {
        let value = Value::from(text(state, &value)?);
        let args = [width.unwrap_or_else(|| Value::from(80))];
        strings::method(state, &value, "center", &mut Args::new("center", &args)?)
    });
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    number(environment, "int", Value::from_function(filters::int), Value::from(0));
    number(environment, "float", Value::from_function(filters::float), Value::from(0.0));
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    walking(environment, "sort", Value::from_function(filters::sort), SORTS);
    walking(environment, "unique", Value::from_function(filters::unique), SORTS);
    walking(environment, "min", Value::from_function(filters::min), SORTS);
    walking(environment, "max", Value::from_function(filters::max), SORTS);
    walking(environment, "dictsort", Value::from_function(filters::dictsort), SORTS);
    walking(environment, "groupby", Value::from_function(filters::groupby), SORTS);
    walking(environment, "batch", Value::from_function(filters::batch), 0);
    walking(environment, "slice", Value::from_function(filters::slice), 0);
    choosing(environment, "map", Value::from_function(filters::map));
    choosing(environment, "select", Value::from_function(filters::select));
    choosing(environment, "reject", Value::from_function(filters::reject));
    choosing(environment, "selectattr", Value::from_function(filters::selectattr));
    choosing(environment, "rejectattr", Value::from_function(filters::rejectattr));
    environment.add_filter("attr", |state: &State, value: &Value, name: &Value| {
        attribute(value, hashable(state, name)?.as_str().unwrap_or_default())
    });
    environment.add_filter("trim", |state: &State, value: Value, chars: Option<Value>| {
        let value = Value::from(text(state, &value)?);
        let args: Vec<Value> = chars.into_iter().collect();
        strings::method(state, &value, "strip", &mut Args::new("trim", &args)?)
    });
    tests(environment);
}

/// How often a sort reads each item, at most: it pays for all of them that often.
const SORTS: usize = 8;

/// A filter of the engine that walks over a value, which may not be none.
fn walking(environment: &mut Environment<'_>, name: &'static str, filter: Value, reads: usize) {
    let filter = move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        if let Some(value) = args.first() {
            walkable(value)?;
            if reads > 0 {
                let size = pay_for_all(state, value)?;
                pay(state, size.saturating_mul(reads - 1))?;
            }
        }
        pay_for_arguments(state, &args)?;
        filter.call(state, &args)
    };
    environment.add_filter(name, filter);
}

/// A filter of the engine that asks something of each item; Jinja's take none for a list of nothing.
fn choosing(environment: &mut Environment<'_>, name: &'static str, filter: Value) {
    let filter = move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        pay_for_arguments(state, &args)?;
        filter.call(state, &args)
    };
    environment.add_filter(name, filter);
}

/// Pays for the arguments of a filter as often as it has items: a name of an attribute is read for each.
fn pay_for_arguments(state: &State, args: &[Value]) -> Result<(), Error> {
    let Some((value, args)) = args.split_first() else { return Ok(()) };
    let items = value.len().unwrap_or(0);
    for arg in args {
        let size = pay_for_all(state, arg)?;
        pay(state, size.saturating_mul(items))?;
    }
    Ok(())
}

/// A filter of the engine that reads a number, or gives a default.
fn number(environment: &mut Environment<'_>, name: &'static str, filter: Value, zero: Value) {
    let filter = move |state: &mut State, args: Rest<ValueOrKwargs>| {
        let args = args.into_values();
        Ok::<_, Error>(filter.call(state, &args).unwrap_or_else(|_| zero.clone()))
    };
    environment.add_filter(name, filter);
}

/// A text for HTML, as `markupsafe` writes it.
fn escape(state: &State, value: &Value) -> Result<String, Error> {
    let text = text(state, value)?;
    let mut purse = Purse::new(state);
    let meant = meant(state, &text);
    let mut plain = 0;
    for (at, char) in text.char_indices() {
        let escaped = match meant(char) {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '\'' => "&#39;",
            '"' => "&#34;",
            _ => continue,
        };
        purse.push(&text[plain..at])?;
        purse.push(escaped)?;
        plain = at + char.len_utf8();
    }
    purse.push(&text[plain..])?;
    Ok(purse.text)
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

fn default(
    value: Value,
    other: Option<Value>,
    falsy: Option<Value>,
    rest: Kwargs,
) -> Result<Value, Error> {
    let other = match other {
        Some(other) => Some(other),
        None => rest.get::<Option<Value>>("default_value")?,
    };
    let falsy = match falsy {
        Some(falsy) => Some(falsy),
        None => rest.get::<Option<Value>>("boolean")?,
    };
    rest.assert_all_used()?;
    let falsy = falsy.is_some_and(|falsy| falsy.is_true());
    let missing = value.is_undefined() || falsy && !value.is_true();
    Ok(if missing { other.unwrap_or_else(|| Value::from("")) } else { value })
}

fn tests(environment: &mut Environment<'_>) {
    environment.add_test("iterable", |value: &Value| walkable(value).is_ok());
    environment.add_test("sequence", |value: &Value| walkable(value).is_ok());
    environment.add_test("callable", |value: &Value| is_callable(value));
    for name in ["eq", "equalto", "==", "sameas"] {
        environment
            .add_test(name, |state: &State, left: &Value, right: &Value| equal(state, left, right));
    }
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
