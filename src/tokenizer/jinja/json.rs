//! The filter `tojson`: JSON as Python's `json.dumps` writes it, without escapes for HTML.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, State};

use super::keep::{Purse, pairs, refused, type_name};
use super::objects::{is_generator, is_namespace, range_text, view_name};
use super::plain::aliases;
use super::text::float;
use crate::tokenizer::alias::Aliases;

/// The widest indent; a line costs no more than it holds.
const WIDEST: usize = 64;

/// How values are laid out.
struct Layout {
    /// What stands before each item, once for each level.
    indent: Option<String>,
    item: String,
    key: String,
    ascii: bool,
    sorted: bool,
    /// What stands for characters of ASCII.
    aliases: Option<Aliases>,
}

/// The filter, with the arguments that it has in `transformers`.
pub(super) fn tojson(
    state: &State,
    value: &Value,
    ascii: Option<Value>,
    indent: Option<Value>,
    rest: Kwargs,
) -> Result<Value, Error> {
    let given = |name: &str| rest.get::<Option<Value>>(name);
    let ascii = match ascii {
        Some(ascii) => Some(ascii),
        None => given("ensure_ascii")?,
    };
    let ascii = ascii.is_some_and(|ascii| ascii.is_true());
    let indent = match indent {
        Some(indent) => Some(indent),
        None => given("indent")?,
    };
    let indent = indent.filter(|indent| !indent.is_none()).map(|i| indentation(&i)).transpose()?;
    let sorted = given("sort_keys")?.is_some_and(|sorted| sorted.is_true());
    let (mut item, mut key) =
        (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned());
    if let Some(pair) = given("separators")?.filter(|pair| !pair.is_none()) {
        let part = |at: usize| {
            let part = pair.get_item_by_index(at)?;
            let wrong = || refused("tojson: separators are two texts");
            part.as_str().map(str::to_owned).ok_or_else(wrong)
        };
        (item, key) = (part(0)?, part(1)?);
    }
    rest.assert_all_used()?;
    let layout = Layout { indent, item, key, ascii, sorted, aliases: aliases(state) };
    let mut purse = Purse::new(state);
    layout.write(&mut purse, value, 0)?;
    Ok(Value::from(purse.text))
}

/// A number of blanks, or the text itself.
fn indentation(indent: &Value) -> Result<String, Error> {
    let text = match indent.as_str() {
        Some(text) => text.to_owned(),
        None => {
            let width = i64::try_from(indent.clone())?.max(0);
            " ".repeat(usize::try_from(width).unwrap_or(usize::MAX).min(WIDEST + 1))
        }
    };
    if text.len() > WIDEST {
        return Err(refused(format!("tojson: an indent of more than {WIDEST}")));
    }
    Ok(text)
}

impl Layout {
    fn write(
        &self,
        purse: &mut Purse<'_, '_, '_>,
        value: &Value,
        depth: usize,
    ) -> Result<(), Error> {
        let is_view = range_text(value).is_some() || view_name(value).is_some();
        if is_generator(value) || is_namespace(value) || is_view {
            let kind = type_name(value);
            return Err(refused(format!("tojson: a value of type {kind} has no form in JSON")));
        }
        match value.kind() {
            ValueKind::None => purse.push("null"),
            ValueKind::Bool => purse.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => purse.push(&number(value)?),
            ValueKind::String => self.string(purse, value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut entries: Vec<(Value, Value)> = pairs(value)?.collect();
                if self.sorted {
                    entries.sort_by(|(left, _), (right, _)| left.as_str().cmp(&right.as_str()));
                }
                let count = entries.len();
                purse.push("{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    self.line(purse, at > 0, depth + 1)?;
                    self.string(purse, &name(key)?)?;
                    purse.push(&self.key)?;
                    self.write(purse, value, depth + 1)?;
                }
                self.close(purse, "}", count, depth)
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let mut count = 0;
                purse.push("[")?;
                for value in value.try_iter()? {
                    self.line(purse, count > 0, depth + 1)?;
                    self.write(purse, &value, depth + 1)?;
                    count += 1;
                }
                self.close(purse, "]", count, depth)
            }
            kind => Err(refused(format!("tojson: {kind} has no form in JSON"))),
        }
    }

    /// What stands before an item.
    fn line(&self, purse: &mut Purse<'_, '_, '_>, later: bool, depth: usize) -> Result<(), Error> {
        if later {
            purse.push(&self.item)?;
        }
        let Some(indent) = &self.indent else { return Ok(()) };
        purse.push("\n")?;
        (0..depth).try_for_each(|_| purse.push(indent))
    }

    fn close(
        &self,
        purse: &mut Purse<'_, '_, '_>,
        bracket: &str,
        count: usize,
        depth: usize,
    ) -> Result<(), Error> {
        if count > 0 {
            self.line(purse, false, depth)?;
        }
        purse.push(bracket)
    }

    fn meant(&self, char: char) -> char {
        self.aliases.map_or(char, |aliases| aliases.meant(char))
    }

    fn string(&self, purse: &mut Purse<'_, '_, '_>, text: &str) -> Result<(), Error> {
        purse.push("\"")?;
        let mut plain = 0;
        for (at, char) in text.char_indices() {
            let escaped = match char {
                '"' => "\\\"".to_owned(),
                '\\' => "\\\\".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\t' => "\\t".to_owned(),
                '\x08' => "\\b".to_owned(),
                '\x0c' => "\\f".to_owned(),
                '\0'..='\x1f' => format!("\\u{:04x}", u32::from(char)),
                _ if self.ascii && !self.meant(char).is_ascii() => {
                    let mut units = [0; 2];
                    let units = char.encode_utf16(&mut units);
                    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
                }
                _ => continue,
            };
            purse.push(&text[plain..at])?;
            purse.push(&escaped)?;
            plain = at + char.len_utf8();
        }
        purse.push(&text[plain..])?;
        purse.push("\"")
    }
}

fn number(value: &Value) -> Result<String, Error> {
    if value.is_integer() {
        return Ok(value.to_string());
    }
    let number = f64::try_from(value.clone())?;
    Ok(match float(number).as_str() {
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        text => text.to_owned(),
    })
}

/// A key as a string.
fn name(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_owned()),
        ValueKind::None => Ok("null".to_owned()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => number(key),
        kind => Err(refused(format!("tojson: a key that is {kind}"))),
    }
}
