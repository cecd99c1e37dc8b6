//! The methods of Python's strings.

use std::collections::HashSet;
use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::formatting::FormatStyle;
use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::args::Args;
use super::cuts::{is_space, last_words, lines, parts, words};
use super::format::formatted;
use super::keep::{Purse, listed, made, pay, refused, type_name};
use super::plain::{meant, plain};

/// Their names.
#[rustfmt::skip]
pub(super) const METHODS: &[&str] = &[
    "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "format", "index",
    "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "islower", "isnumeric", "isspace",
    "istitle", "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix",
    "removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split",
    "splitlines", "startswith", "strip", "swapcase", "title", "upper", "zfill",
];

/// Those that make no text, besides `isalnum` and its like.
const READING: &[&str] = &["count", "endswith", "find", "index", "rfind", "rindex", "startswith"];

/// Calls a method of a text.
pub(super) fn method(
    state: &State,
    value: &Value,
    name: &str,
    args: &mut Args<'_>,
) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    let reads = READING.contains(&name) || name.starts_with("is");
    let pays = if reads { pay } else { made };
    pays(state, text.len())?;
    let all = |holds: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(holds));
    Ok(match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "casefold" => Value::from(text.chars().flat_map(folded).collect::<String>()),
        "title" => Value::from(titled(text)),
        "capitalize" => {
            let mut chars = text.chars();
            let first = chars.next().map(capital);
            Value::from(first.unwrap_or_default() + &chars.as_str().to_lowercase())
        }
        "swapcase" => Value::from(text.chars().flat_map(swapped).collect::<String>()),
        "isspace" => all(is_space),
        "isdecimal" => all(is_decimal),
        "isdigit" => all(|char| is_decimal(char) || is_digit(char)),
        "isnumeric" => all(char::is_numeric),
        "isalpha" => all(is_letter),
        "isalnum" => all(|char| is_letter(char) || char.is_numeric()),
        "istitle" => Value::from(is_titled(text)),
        "expandtabs" => expanded(state, text, args)?,
        "isascii" => Value::from(plain(state, text).is_ascii()),
        "islower" => Value::from(cased(text, char::is_lowercase, char::is_uppercase)),
        "isupper" => Value::from(cased(text, char::is_uppercase, char::is_lowercase)),
        "strip" | "lstrip" | "rstrip" => {
            let chars =
                args.optional("chars")?.map(|chars| string(state, &chars, name)).transpose()?;
            let meant = meant(state, text);
            let chars: Option<HashSet<char>> = chars.map(|chars| chars.chars().collect());
            let strip = |char: char| match &chars {
                Some(chars) => chars.contains(&meant(char)),
                None => is_space(char),
            };
            let text = if name == "rstrip" { text } else { text.trim_start_matches(strip) };
            Value::from(if name == "lstrip" { text } else { text.trim_end_matches(strip) })
        }
        "split" | "rsplit" => split(state, text, name, args)?,
        "splitlines" => {
            let keep = args.optional("keepends")?.is_some_and(|keep| keep.is_true());
            Value::from(listed(state, lines(text, keep).map(Value::from))?)
        }
        "partition" | "rpartition" => {
            let between = separator(state, &args.required("sep")?, name)?;
            let found = parts(state, text, &between, 1, name == "rpartition")?;
            let parts = match (<[&str; 2]>::try_from(&found[..]), name) {
                (Ok([before, after]), _) => [before, &between, after],
                (Err(_), "partition") => [text, "", ""],
                (Err(_), _) => ["", "", text],
            };
            Value::from(Tuple::from(parts.map(Value::from).to_vec()))
        }
        "replace" => {
            let old = string(state, &args.required("old")?, name)?;
            let new = string(state, &args.required("new")?, name)?;
            let most = args.optional("count")?.and_then(|count| count.as_i64()).unwrap_or(-1);
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            replaced(state, text, &old, &new, most)?
        }
        "startswith" | "endswith" | "removeprefix" | "removesuffix" => {
            edges(state, text, name, args)?
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let wanted = string(state, &args.required("sub")?, name)?;
            let (before, text) = args.part_of(text)?;
            let (text, wanted) = (plain(state, text), plain(state, &wanted));
            if name == "count" {
                return Ok(Value::from(text.matches(&*wanted).count()));
            }
            let found = match name {
                "find" | "index" => text.find(&*wanted),
                _ => text.rfind(&*wanted),
            };
            match found {
                Some(at) => Value::from(before + text[..at].chars().count()),
                None if name.ends_with("find") => Value::from(-1),
                None => return Err(refused(format!("{name}: the text has no such part"))),
            }
        }
        "join" => joined(state, text, &args.required("iterable")?)?,
        "format" => formatted(state, FormatStyle::StrFormat, text, args.all())?,
        _ => padded(state, text, name, args)?,
    })
}

fn titled(text: &str) -> String {
    let mut within = false;
    let mut result = String::with_capacity(text.len());
    for char in text.chars() {
        if within {
            result.extend(char.to_lowercase());
        } else {
            result.push_str(&capital(char));
        }
        within = char.is_alphabetic();
    }
    result
}

/// Whether capitals begin words, and begin words only.
fn is_titled(text: &str) -> bool {
    let (mut within, mut any) = (false, false);
    for char in text.chars() {
        let (upper, lower) = (char.is_uppercase() || is_title(char), char.is_lowercase());
        if upper && within || lower && !within {
            return false;
        }
        within = upper || lower;
        any = any || within;
    }
    any
}

/// Two letters in one, of which the first is a capital.
fn is_title(char: char) -> bool {
    matches!(char, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

/// A character as it begins a word.
fn capital(char: char) -> String {
    match char {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".to_owned(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".to_owned(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".to_owned(),
        'Ǳ' | 'ǲ' | 'ǳ' => "ǲ".to_owned(),
        'ŉ' => "ʼN".to_owned(),
        _ => {
            let mut upper = char.to_uppercase();
            let first: String = upper.next().into_iter().collect();
            first + &upper.flat_map(char::to_lowercase).collect::<String>()
        }
    }
}

/// A character without its case.
fn folded(char: char) -> Vec<char> {
    match u32::from(char) {
        0x131 | 0x13a0..=0x13f5 => vec![char],
        code @ 0x13f8..=0x13fd => char::from_u32(code - 8).into_iter().collect(),
        code @ 0xab70..=0xabbf => char::from_u32(code - 0xab70 + 0x13a0).into_iter().collect(),
        _ => {
            let upper = char.to_lowercase().flat_map(char::to_uppercase);
            upper.flat_map(char::to_lowercase).collect()
        }
    }
}

/// Whether a character has a category of Unicode's.
fn is_in(category: &LazyLock<Option<Regex>>, char: char) -> bool {
    let text = char.encode_utf8(&mut [0; 4]).to_owned();
    category.as_ref().is_some_and(|category| category.is_match(&text).unwrap_or(false))
}

fn is_letter(char: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{L}").ok());
    if char.is_ascii() { char.is_ascii_alphabetic() } else { is_in(&LETTER, char) }
}

fn is_decimal(char: char) -> bool {
    static DECIMAL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Nd}").ok());
    if char.is_ascii() { char.is_ascii_digit() } else { is_in(&DECIMAL, char) }
}

/// Whether a character is a digit in another form, such as one in a circle.
fn is_digit(char: char) -> bool {
    matches!(u32::from(char),
        178..=179 | 185 | 4969..=4977 | 6618 | 8304 | 8308..=8313 | 8320..=8329 | 9312..=9320
        | 9332..=9340 | 9352..=9360 | 9450 | 9461..=9469 | 9471 | 10102..=10110 | 10112..=10120
        | 10122..=10130 | 68160..=68163 | 69216..=69224 | 69714..=69722 | 127_232..=127_242)
}

/// Tabs as blanks up to the next column.
fn expanded(state: &State, text: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let width = args.optional("tabsize")?.map_or(Some(8), |width| width.as_i64());
    let width = width.ok_or_else(|| refused("expandtabs by a value that is not an integer"))?;
    let width = usize::try_from(width).unwrap_or(0);
    let mut purse = Purse::new(state);
    let mut column = 0;
    for char in text.chars() {
        match char {
            '\t' if width > 0 => {
                let blanks = width - column % width;
                made(state, blanks)?;
                purse.push(&" ".repeat(blanks))?;
                column += blanks;
            }
            '\t' => {}
            _ => {
                purse.push(char.encode_utf8(&mut [0; 4]))?;
                column = if matches!(char, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(Value::from(purse.text))
}

fn swapped(char: char) -> Vec<char> {
    match char.is_uppercase() {
        true => char.to_lowercase().collect(),
        false => char.to_uppercase().collect(),
    }
}

fn cased(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

/// An argument that must be a text.
fn string(state: &State, value: &Value, method: &str) -> Result<String, Error> {
    let wrong = || refused(format!("{method} of str takes str, not {}", type_name(value)));
    let text = value.as_str().ok_or_else(wrong)?;
    pay(state, text.len())?;
    Ok(text.to_owned())
}

fn separator(state: &State, value: &Value, method: &str) -> Result<String, Error> {
    match string(state, value, method)? {
        empty if empty.is_empty() => Err(refused(format!("{method} by the empty text"))),
        text => Ok(text),
    }
}

fn split(state: &State, text: &str, name: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let between = args.optional("sep")?.map(|value| separator(state, &value, name)).transpose()?;
    let most = args.optional("maxsplit")?.and_then(|most| most.as_i64()).unwrap_or(-1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let from_end = name == "rsplit";
    if let Some(between) = between {
        let parts = parts(state, text, &between, most, from_end)?;
        return Ok(Value::from(listed(state, parts.into_iter().map(Value::from))?));
    }
    if !from_end {
        return Ok(Value::from(listed(state, words(text, most).map(Value::from))?));
    }
    let mut parts = listed(state, last_words(text, most).map(Value::from))?;
    parts.reverse();
    Ok(Value::from(parts))
}

fn replaced(state: &State, text: &str, old: &str, new: &str, most: usize) -> Result<Value, Error> {
    if old.is_empty() {
        let count = text.chars().count().saturating_add(1).min(most);
        made(state, text.len().saturating_add(count.saturating_mul(new.len())))?;
        return Ok(Value::from(text.replacen("", new, most)));
    }
    let parts = parts(state, text, old, most, false)?;
    made(state, text.len().saturating_add((parts.len() - 1).saturating_mul(new.len())))?;
    Ok(Value::from(parts.join(new)))
}

/// What looks at one end of a text.
fn edges(state: &State, text: &str, name: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let wanted = args.required("prefix")?;
    let at_start = matches!(name, "startswith" | "removeprefix");
    let (_, text) = if name.ends_with("with") { args.part_of(text)? } else { (0, text) };
    let shown = plain(state, text);
    let fits = |wanted: &Value| {
        let wanted = string(state, wanted, name)?;
        let wanted = plain(state, &wanted);
        Ok(if at_start { shown.starts_with(&*wanted) } else { shown.ends_with(&*wanted) })
    };
    if name.ends_with("with") {
        let found: Result<bool, Error> = match wanted.is_tuple() {
            true => wanted.try_iter()?.try_fold(false, |any, one| Ok(any || fits(&one)?)),
            false => fits(&wanted),
        };
        return Ok(Value::from(found?));
    }
    if !fits(&wanted)? || wanted.as_str() == Some("") {
        return Ok(Value::from(text));
    }
    let parts = parts(state, text, &string(state, &wanted, name)?, 1, !at_start)?;
    Ok(Value::from(if at_start { parts[parts.len() - 1] } else { parts[0] }))
}

fn joined(state: &State, between: &str, items: &Value) -> Result<Value, Error> {
    if matches!(items.kind(), ValueKind::None | ValueKind::Bool | ValueKind::Number) {
        return Err(refused(format!("join over a value of type {}", type_name(items))));
    }
    let mut purse = Purse::new(state);
    for (at, item) in items.try_iter()?.enumerate() {
        purse.push(if at > 0 { between } else { "" })?;
        purse.push(&string(state, &item, "join")?)?;
    }
    Ok(Value::from(purse.text))
}

fn padded(state: &State, text: &str, name: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let width = args.required("width")?.as_i64();
    let width =
        width.ok_or_else(|| refused(format!("{name} by a value that is not an integer")))?;
    let fill = match (name, args.optional("fillchar")?) {
        ("zfill", _) => "0".to_owned(),
        (_, Some(fill)) => string(state, &fill, name)?,
        (_, None) => " ".to_owned(),
    };
    if fill.chars().count() != 1 {
        return Err(refused(format!("{name} with a text that is not a single character")));
    }
    let length = text.chars().count();
    let width = usize::try_from(width.max(0)).unwrap_or(usize::MAX);
    let missing = width.saturating_sub(length);
    made(state, text.len().saturating_add(missing.saturating_mul(fill.len())))?;
    let before = match name {
        "ljust" => 0,
        // Python puts the odd blank to the left if the width is odd.
        "center" => missing / 2 + (missing & (length + missing) & 1),
        _ => missing,
    };
    let (sign, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) if name == "zfill" => text.split_at(text.len() - digits.len()),
        _ => ("", text),
    };
    let after = fill.repeat(missing - before);
    Ok(Value::from([sign, &fill.repeat(before), digits, &after].concat()))
}
