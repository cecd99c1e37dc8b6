//! Comparing texts in which some characters stand for others (`alias.rs`).

use std::borrow::Cow;
use std::ops::Range;

use minijinja::{Error, State};

use super::keep::pay;
use crate::tokenizer::alias::Aliases;

/// The variable that holds where the block of aliases begins.
pub(super) const ALIASES: &str = "__aliases";

/// The characters that stand for others, if there are any.
pub(super) fn aliases(state: &State) -> Option<Aliases> {
    let base = state.lookup(ALIASES)?.as_i64()?;
    u32::try_from(base).ok().map(Aliases::at)
}

/// A text as its reader means it.
pub(super) fn plain<'a>(state: &State, text: &'a str) -> Cow<'a, str> {
    if !Aliases::possible(text) {
        return text.into();
    }
    aliases(state).map_or(text.into(), |aliases| aliases.plain(text))
}

/// What was made of a text without its aliases: it may spell names that the text did not.
pub(super) fn disguised(state: &State, text: String) -> String {
    aliases(state).map_or(text.clone(), |aliases| aliases.all(&text))
}

/// What a character stands for.
pub(super) fn meant(state: &State, text: &str) -> impl Fn(char) -> char + Copy {
    let aliases = if Aliases::possible(text) { aliases(state) } else { None };
    move |char| aliases.map_or(char, |aliases| aliases.meant(char))
}

/// Where a text contains another, if one of them has aliases; from left to right.
pub(super) fn matches(
    state: &State,
    text: &str,
    part: &str,
) -> Result<Option<Vec<Range<usize>>>, Error> {
    if !Aliases::possible(text) && !Aliases::possible(part) {
        return Ok(None);
    }
    let Some(aliases) = aliases(state) else { return Ok(None) };
    // Each match takes two numbers.
    let most = text.len() / part.len().max(1) + 1;
    pay(state, text.len().saturating_add(most.saturating_mul(16)))?;
    Ok(Some(aliases.matches(text, part)))
}
