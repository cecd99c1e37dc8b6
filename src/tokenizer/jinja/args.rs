//! The arguments of a method.

use minijinja::Error;
use minijinja::value::{Kwargs, Value};

use super::keep::refused;

/// The arguments of a method, taken one by one, by place or by name.
#[derive(Debug)]
pub(super) struct Args<'a> {
    method: &'a str,
    all: &'a [Value],
    placed: std::slice::Iter<'a, Value>,
    named: Kwargs,
}

impl<'a> Args<'a> {
    /// The arguments of a call.
    pub(super) fn new(method: &'a str, args: &'a [Value]) -> Result<Self, Error> {
        let (placed, named) = match args.split_last() {
            Some((last, placed)) if last.is_kwargs() => (placed, Kwargs::try_from(last.clone())?),
            _ => (args, Kwargs::from_iter(Vec::<(String, Value)>::new())),
        };
        Ok(Self { method, all: args, placed: placed.iter(), named })
    }

    /// The next argument, if it is given and not none.
    pub(super) fn optional(&mut self, name: &str) -> Result<Option<Value>, Error> {
        Ok(self.any(name)?.filter(|value| !value.is_none()))
    }

    /// The next argument, if it is given, be it none.
    pub(super) fn any(&mut self, name: &str) -> Result<Option<Value>, Error> {
        match self.placed.next() {
            Some(value) => Ok(Some(value.clone())),
            None if self.named.has(name) => self.named.get::<Value>(name).map(Some),
            None => Ok(None),
        }
    }

    /// The next argument, whatever it is.
    pub(super) fn required(&mut self, name: &str) -> Result<Value, Error> {
        let missing = || refused(format!("{} without its argument {name}", self.method));
        match self.placed.next() {
            Some(value) => Ok(value.clone()),
            None => self.named.get::<Option<Value>>(name)?.ok_or_else(missing),
        }
    }

    /// All arguments, which are then taken.
    pub(super) fn all(&mut self) -> &'a [Value] {
        self.placed = [].iter();
        for name in self.named.args().map(str::to_owned).collect::<Vec<_>>() {
            // What is read counts as taken.
            let _ = self.named.get::<Value>(&name);
        }
        self.all
    }

    /// The part of a text that two further arguments choose, and how many characters stand before it.
    pub(super) fn part_of<'t>(&mut self, text: &'t str) -> Result<(usize, &'t str), Error> {
        let start = self.optional("start")?.and_then(|start| start.as_i64());
        let stop = self.optional("end")?.and_then(|stop| stop.as_i64());
        Ok(part(text, start.unwrap_or(0), stop.unwrap_or(i64::MAX)))
    }

    /// Fails if an argument is left.
    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.placed.next().is_some() {
            return Err(refused(format!("{} with too many arguments", self.method)));
        }
        self.named.assert_all_used()
    }
}

/// A part of a text by the places of its characters, and how many characters stand before it.
pub(super) fn part(text: &str, start: i64, stop: i64) -> (usize, &str) {
    let length = if start < 0 || stop < 0 { text.chars().count() as i64 } else { 0 };
    let place = |at: i64| match if at < 0 { at + length } else { at } {
        before if before < 0 => 0,
        at => usize::try_from(at).unwrap_or(usize::MAX),
    };
    let (start, stop) = (place(start), place(stop));
    let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let Some(from) = ends.nth(start) else { return (start, "") };
    let Some(more) = stop.checked_sub(start.saturating_add(1)) else { return (start, "") };
    let to = ends.nth(more).unwrap_or(text.len());
    (start, &text[from..to])
}
