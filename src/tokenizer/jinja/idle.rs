//! Loops that have nothing more to do.
//!
//! Templates look for a message by a loop over all others, `{% if not ns.found %}...{% endif %}` its whole
//! body, and so go over a long conversation once for each message. Where the condition does not
//! depend on the loop and fails, nothing ran that could change it: the loop may end there.

use std::collections::HashSet;

use super::lexer::{Part, Tag, Token};

/// The `endif` of each such condition, by the place of its part.
pub(super) fn ends(parts: &[Part]) -> HashSet<usize> {
    let next = |at: usize| {
        let blank = |part: &Part| matches!(part, Part::Text(text) if text.is_empty());
        (at + 1..parts.len()).find(|at| !blank(&parts[*at]))
    };
    let block = |at: usize| match &parts[at] {
        Part::Block(tag) => Some(tag),
        _ => None,
    };
    let idle = |start: usize| {
        let target = target(block(start)?)?;
        let condition = next(start)?;
        if !lasting(block(condition)?, target) {
            return None;
        }
        let end = end(parts, condition)?;
        (word(block(next(end)?)?) == Some("endfor")).then_some(end)
    };
    (0..parts.len()).filter_map(idle).collect()
}

fn word(tag: &Tag) -> Option<&str> {
    match tag.tokens.first() {
        Some(Token::Name(name)) => Some(name),
        _ => None,
    }
}

/// The variable of a loop that has one, and is not recursive.
fn target(tag: &Tag) -> Option<&str> {
    let name = |at: usize| match tag.tokens.get(at) {
        Some(Token::Name(name)) => Some(name.as_str()),
        _ => None,
    };
    let recursive = tag.tokens.last() == Some(&Token::Name("recursive".to_owned()));
    let simple = name(0) == Some("for") && name(2) == Some("in") && !recursive;
    if simple { name(1) } else { None }
}

/// Whether this is an `if` whose condition calls nothing and does not depend on a loop over `target`.
fn lasting(tag: &Tag, target: &str) -> bool {
    let plain = |token: &Token| match token {
        Token::Name(name) => ![target, "loop", "in", "is"].contains(&name.as_str()),
        Token::Sign(sign) => matches!(*sign, "." | "==" | "!=" | "<" | ">" | "<=" | ">="),
        _ => true,
    };
    word(tag) == Some("if") && tag.tokens[1..].iter().all(plain)
}

/// The end of an `if` without other branches.
fn end(parts: &[Part], start: usize) -> Option<usize> {
    let mut open = 0;
    for (at, part) in parts.iter().enumerate().skip(start) {
        let Part::Block(tag) = part else { continue };
        match word(tag) {
            Some("if" | "for") => open += 1,
            Some("endif" | "endfor") => open -= 1,
            Some("else" | "elif") if open == 1 => return None,
            _ => {}
        }
        if open == 0 {
            return (word(tag) == Some("endif")).then_some(at);
        }
    }
    None
}
