//! Filters over texts, as Jinja's are.

use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::value::{Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State};

use super::args::Args;
use super::cuts::{lines, words};
use super::escaping;
use super::keep::{Purse, is_map, made, pairs, pay, pay_for_all, refused, type_name};
use super::plain::{disguised, plain};
use super::strings;
use super::text::{text, write_repr};

/// A filter over a text: its state, its text and its other arguments.
type Filter = fn(&State, &str, &mut Args<'_>) -> Result<Value, Error>;

/// Adds them.
pub(super) fn register(environment: &mut Environment<'_>) {
    // Whether a filter takes texts only.
    let filters: [(&'static str, bool, Filter); 9] = [
        ("truncate", true, truncate),
        ("wordcount", false, wordcount),
        ("wordwrap", true, wordwrap),
        ("indent", true, indent),
        ("striptags", false, striptags),
        ("center", false, |state, text, args| {
            let width = args.optional("width")?.unwrap_or_else(|| Value::from(80));
            method(state, text, "center", &[width])
        }),
        ("trim", false, |state, text, args| {
            let chars: Vec<Value> = args.optional("chars")?.into_iter().collect();
            method(state, text, "strip", &chars)
        }),
        ("replace", false, |state, value, args| {
            let written = |value: Value| text(state, &value).map(Value::from);
            let mut parts = vec![written(args.required("s")?)?, written(args.required("new")?)?];
            parts.extend(args.optional("count")?);
            method(state, value, "replace", &parts)
        }),
        ("capitalize", false, |state, text, _| method(state, text, "capitalize", &[])),
    ];
    for (name, strict, filter) in filters {
        environment.add_filter(name, move |state: &State, args: Rest<ValueOrKwargs>| {
            let args = args.into_values();
            let Some((value, rest)) = args.split_first() else { return Ok(Value::UNDEFINED) };
            if strict && value.as_str().is_none() {
                return Err(refused(format!("{name} of a value of type {}", type_name(value))));
            }
            let mut args = Args::new(name, rest)?;
            let result = filter(state, &text(state, value)?, &mut args)?;
            args.end()?;
            let safe = ["capitalize", "center", "indent", "trim"].contains(&name);
            if safe && value.is_safe() { escaping::safe(state, result) } else { Ok(result) }
        });
    }
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("pprint", pprint);
    for (name, reason) in [
        ("urlize", "it makes links for pages"),
        ("random", "a conversation would be another prompt each time"),
    ] {
        environment.add_filter(name, move |_: Rest<ValueOrKwargs>| never(name, reason));
    }
}

/// A filter of Jinja's that is not here.
fn never(name: &str, reason: &str) -> Result<Value, Error> {
    Err(refused(format!("the filter {name} is not for chat templates: {reason}")))
}

fn method(state: &State, text: &str, name: &str, args: &[Value]) -> Result<Value, Error> {
    let mut args = Args::new(name, args)?;
    strings::method(state, &Value::from(text), name, &mut args)
}

fn number(args: &mut Args<'_>, name: &str, default: usize) -> Result<usize, Error> {
    let Some(given) = args.optional(name)? else { return Ok(default) };
    let number = given.as_i64().ok_or_else(|| refused(format!("{name} is not an integer")))?;
    Ok(usize::try_from(number).unwrap_or(0))
}

fn given(args: &mut Args<'_>, name: &str, default: bool) -> Result<bool, Error> {
    Ok(args.any(name)?.map_or(default, |given| given.is_true()))
}

/// The first characters of a text.
fn first(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

fn truncate(state: &State, value: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let length = number(args, "length", 255)?;
    let kills = given(args, "killwords", false)?;
    let end =
        args.optional("end")?.map_or_else(|| Ok("...".to_owned()), |end| text(state, &end))?;
    let leeway = number(args, "leeway", 5)?;
    made(state, value.len().saturating_add(end.len()))?;
    let Some(kept) = length.checked_sub(end.chars().count()) else {
        return Err(refused(format!("truncate to {length} characters, fewer than {end:.60?} has")));
    };
    if value.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(value));
    }
    let kept = first(value, kept);
    let kept = if kills { kept } else { kept.rsplit_once(' ').map_or(kept, |(before, _)| before) };
    Ok(Value::from([kept, &end].concat()))
}

/// An expression that is known to be one; `None` says that it gave up on a text.
fn compiled(expression: &str) -> Option<Regex> {
    Regex::new(expression).ok()
}

fn gave_up(name: &str) -> Error {
    refused(format!("{name} gives up on this text"))
}

fn wordcount(state: &State, text: &str, _: &mut Args<'_>) -> Result<Value, Error> {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| compiled(r"[\p{L}\p{N}_]+"));
    pay(state, text.len().saturating_mul(4))?;
    let text = plain(state, text);
    let found = WORD.as_ref().map(|word| word.find_iter(&text).count());
    found.map(Value::from).ok_or_else(|| gave_up("wordcount"))
}

fn wordwrap(state: &State, value: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let width = number(args, "width", 79)?;
    let breaks = given(args, "break_long_words", true)?;
    let between = args.optional("wrapstring")?;
    let between = between.map_or_else(|| Ok("\n".to_owned()), |between| text(state, &between))?;
    let hyphens = given(args, "break_on_hyphens", true)?;
    if width == 0 {
        return Err(refused("wordwrap to a width of 0"));
    }
    // A line has a place in a list besides its text, and each step of the expression looks around.
    pay(state, value.len().saturating_mul(64))?;
    let mut purse = Purse::new(state);
    for (at, line) in lines(value, false).enumerate() {
        purse.push(if at > 0 { &between } else { "" })?;
        for (at, line) in wrapped(line, width, breaks, hyphens)?.iter().enumerate() {
            purse.push(if at > 0 { &between } else { "" })?;
            purse.push(line)?;
        }
    }
    Ok(Value::from(purse.text))
}

/// What Python's `textwrap` breaks a line into: blanks, words, and parts of words with hyphens.
fn chunks(line: &str, hyphens: bool) -> Result<Vec<&str>, Error> {
    static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let (blank, other) = (r"[\t\n\x0b\x0c\r ]", r"[^\t\n\x0b\x0c\r ]");
        let (word, letter) = (r#"[\w!"'&.,?]"#, r"[\p{L}\p{Nl}\p{No}_]");
        compiled(&format!(
            "{blank}+|(?<={word})-{{2,}}(?=\\w)|{other}+?(?:-(?:(?<={letter}{letter}-)\
             |(?<={letter}-{word}-))(?={letter}-?{letter})|(?={blank}|\\z)|(?<={word})(?=-{{2,}}\\w))"
        ))
    });
    static WORDS: LazyLock<Option<Regex>> =
        LazyLock::new(|| compiled(r"[\t\n\x0b\x0c\r ]+|[^\t\n\x0b\x0c\r ]+"));
    let parts = if hyphens { &PARTS } else { &WORDS };
    let parts = parts.as_ref().ok_or_else(|| gave_up("wordwrap"))?;
    let (mut chunks, mut end) = (Vec::new(), 0);
    for found in parts.find_iter(line) {
        let found = found.map_err(|_| gave_up("wordwrap"))?;
        chunks.extend([&line[end..found.start()], found.as_str()]);
        end = found.end();
    }
    chunks.push(&line[end..]);
    chunks.retain(|chunk| !chunk.is_empty());
    Ok(chunks)
}

/// The lines of a line that are at most so wide, as Python's `textwrap` makes them.
fn wrapped(line: &str, width: usize, breaks: bool, hyphens: bool) -> Result<Vec<String>, Error> {
    let mut chunks = chunks(line, hyphens)?;
    chunks.reverse();
    let length = |text: &str| text.chars().count();
    let blank = |chunk: &str| chunk.trim().is_empty();
    let mut lines: Vec<String> = Vec::new();
    while let Some(next) = chunks.last() {
        if blank(next) && !lines.is_empty() {
            chunks.pop();
        }
        let (mut line, mut long) = (Vec::new(), 0);
        while let Some(chunk) = chunks.pop_if(|chunk| long + length(chunk) <= width) {
            long += length(chunk);
            line.push(chunk);
        }
        if let Some(chunk) = chunks.pop_if(|chunk| length(chunk) > width) {
            let space = width - long;
            if breaks {
                let mut head = first(chunk, space);
                let hyphen = head.rfind('-').filter(|_| hyphens && length(chunk) > space);
                if let Some(at) = hyphen.filter(|at| head[..*at].contains(|char| char != '-')) {
                    head = &head[..=at];
                }
                line.push(head);
                let rest = &chunk[head.len()..];
                if !rest.is_empty() {
                    chunks.push(rest);
                }
            } else if line.is_empty() {
                line.push(chunk);
            } else {
                chunks.push(chunk);
            }
        }
        line.pop_if(|chunk| blank(chunk));
        if !line.is_empty() {
            lines.push(line.concat());
        }
    }
    Ok(lines)
}

fn indent(state: &State, value: &str, args: &mut Args<'_>) -> Result<Value, Error> {
    let width = args.optional("width")?.unwrap_or_else(|| Value::from(4));
    let indent = match width.as_str() {
        Some(indent) => indent.to_owned(),
        None => {
            let width = width
                .as_i64()
                .ok_or_else(|| refused("indent by a value that is not an integer"))?;
            let width = usize::try_from(width).unwrap_or(0);
            made(state, width)?;
            " ".repeat(width)
        }
    };
    let (begins, blank) = (given(args, "first", false)?, given(args, "blank", false)?);
    let value = [value, "\n"].concat();
    let mut purse = Purse::new(state);
    for (at, line) in lines(&value, false).enumerate() {
        purse.push(if at > 0 { "\n" } else { "" })?;
        let indented = if at == 0 { begins } else { blank || !line.is_empty() };
        purse.push(if indented { &indent } else { "" })?;
        purse.push(line)?;
    }
    Ok(Value::from(purse.text))
}

/// A text without its tags and comments.
fn striptags(state: &State, text: &str, _: &mut Args<'_>) -> Result<Value, Error> {
    made(state, text.len().saturating_mul(4))?;
    let text = plain(state, text);
    let (mut bare, mut rest) = (String::new(), &*text);
    while let Some(at) = rest.find('<') {
        let (from, end) = if rest[at..].starts_with("<!--") { (at + 4, "-->") } else { (at, ">") };
        let Some(length) = rest[from..].find(end) else { break };
        bare.push_str(&rest[..at]);
        rest = &rest[from + length + end.len()..];
    }
    bare.push_str(rest);
    let text = words(&bare, usize::MAX).collect::<Vec<_>>().join(" ");
    let known = [
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
    ];
    let (mut result, mut rest) = (String::new(), &*text);
    while let Some(at) = rest.find('&') {
        result.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((name, char)) = known.iter().find(|(name, _)| rest.starts_with(name)) {
            result.push_str(char);
            rest = &rest[name.len()..];
        } else if rest[1..].starts_with(|char: char| char.is_alphanumeric() || char == '#') {
            let shown: String = rest.chars().take(12).collect();
            return Err(refused(format!("striptags: the entity {shown:?} is not known here")));
        } else {
            result.push('&');
            rest = &rest[1..];
        }
    }
    made(state, text.len().saturating_mul(4))?;
    Ok(Value::from(disguised(state, result + rest)))
}

/// A text, or pairs, for an address.
fn urlencode(state: &State, value: &Value) -> Result<String, Error> {
    let entries: Vec<(Value, Value)> = match value.kind() {
        _ if is_map(value) => pairs(value)?.collect(),
        ValueKind::Seq | ValueKind::Iterable => {
            let pair = |item: Value| match (item.len(), item.try_iter()) {
                (Some(2), Ok(mut parts)) => {
                    Ok((parts.next().unwrap_or_default(), parts.next().unwrap_or_default()))
                }
                _ => Err(refused("urlencode of an item that is not a pair")),
            };
            value.try_iter()?.map(pair).collect::<Result<_, Error>>()?
        }
        _ => return Ok(disguised(state, quoted(state, value, b"/")?)),
    };
    let mut parts = Vec::new();
    for (key, value) in entries {
        let (key, value) = (quoted(state, &key, b"")?, quoted(state, &value, b"")?);
        made(state, key.len() + value.len() + 64)?;
        parts.push(format!("{key}={value}").replace("%20", "+"));
    }
    Ok(disguised(state, parts.join("&")))
}

/// A value as text whose bytes are letters, digits and few others.
fn quoted(state: &State, value: &Value, also: &[u8]) -> Result<String, Error> {
    let value = text(state, value)?;
    let mut purse = Purse::new(state);
    for byte in plain(state, &value).bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric()
                || b"_.-~".contains(&byte)
                || also.contains(&byte) =>
            {
                purse.push(char::from(byte).encode_utf8(&mut [0]))?;
            }
            _ => purse.push(&format!("%{byte:02X}"))?,
        }
    }
    Ok(purse.text)
}

/// The widest value that `pprint` puts into one line.
const WIDEST: usize = 80;

/// A value as `repr` writes it, with the keys of maps sorted, unless it takes more than a line.
fn pprint(state: &State, value: &Value) -> Result<String, Error> {
    pay_for_all(state, value)?;
    let mut purse = Purse::new(state);
    write_repr(&mut purse, &with_sorted_keys(value)?)?;
    if purse.text.chars().count() > WIDEST {
        return Err(refused(
            "pprint of a value that takes more than a line, which Python lays out in its own way; \
             tojson(indent=2) is for such values",
        ));
    }
    Ok(purse.text)
}

fn with_sorted_keys(value: &Value) -> Result<Value, Error> {
    if is_map(value) {
        let mut entries: Vec<(Value, Value)> = pairs(value)?.collect();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let entries = entries.into_iter().map(|(key, value)| Ok((key, with_sorted_keys(&value)?)));
        return Ok(Value::from_pairs(entries.collect::<Result<Vec<_>, Error>>()?));
    }
    if value.kind() == ValueKind::Seq && !value.is_tuple() {
        let items = value.try_iter()?.map(|item| with_sorted_keys(&item));
        return Ok(Value::from(items.collect::<Result<Vec<_>, Error>>()?));
    }
    Ok(value.clone())
}
