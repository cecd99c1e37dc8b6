//! Texts cut into parts, as the methods of Python's strings cut them.

use minijinja::{Error, State};

use super::keep::made;
use super::plain::matches;

/// What Python counts as a blank.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || matches!(char, '\x1c'..='\x1f')
}

/// The parts between the places where a text contains another; at most so many places, from the
/// start or from the end.
pub(super) fn parts<'t>(
    state: &State,
    text: &'t str,
    between: &str,
    most: usize,
    from_end: bool,
) -> Result<Vec<&'t str>, Error> {
    let Some(mut ranges) = matches(state, text, between)? else {
        let most = most.saturating_add(1);
        // A part takes two numbers.
        let count = text.matches(between).count().saturating_add(1).min(most);
        made(state, count.saturating_mul(16))?;
        if !from_end {
            return Ok(text.splitn(most, between).collect());
        }
        let mut parts: Vec<&str> = text.rsplitn(most, between).collect();
        parts.reverse();
        return Ok(parts);
    };
    let extra = ranges.len().saturating_sub(most);
    ranges.drain(if from_end { 0..extra } else { ranges.len() - extra..ranges.len() });
    let mut start = 0;
    let mut parts: Vec<&str> = ranges
        .into_iter()
        .map(|range| &text[std::mem::replace(&mut start, range.end)..range.start])
        .collect();
    parts.push(&text[start..]);
    Ok(parts)
}

/// The words of a text; after so many, the rest as it is.
pub(super) fn words(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let (mut rest, mut left) = (text.trim_start_matches(is_space), most);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = if left == 0 { None } else { rest.find(is_space) };
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        left = left.saturating_sub(1);
        rest = after.trim_start_matches(is_space);
        Some(word)
    })
}

/// The same from the end.
pub(super) fn last_words(text: &str, most: usize) -> impl Iterator<Item = &str> {
    let (mut rest, mut left) = (text.trim_end_matches(is_space), most);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let blank = if left == 0 { None } else { rest.rfind(is_space) };
        let start = blank.map_or(0, |at| at + rest[at..].chars().next().map_or(0, char::len_utf8));
        let (before, word) = rest.split_at(start);
        left = left.saturating_sub(1);
        rest = before.trim_end_matches(is_space);
        Some(word)
    })
}

/// The lines of a text, with or without their ends.
pub(super) fn lines(text: &str, keep: bool) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let ends = |char: char| {
        matches!(char, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}')
            || matches!(char, '\u{2028}' | '\u{2029}')
    };
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(ends).unwrap_or(rest.len());
        let after = match rest[end..].chars().next() {
            Some('\r') if rest[end + 1..].starts_with('\n') => end + 2,
            Some(char) => end + char.len_utf8(),
            None => end,
        };
        let line = &rest[..if keep { after } else { end }];
        rest = &rest[after..];
        Some(line)
    })
}
