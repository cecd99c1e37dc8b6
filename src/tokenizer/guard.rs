//! Which parts of a conversation are text whatever they spell.

use std::ops::Range;

use super::alias::{Aliases, Disguise};
use super::names::Names;

/// The names of tokens that a text must not write.
#[derive(Debug)]
pub(super) struct Guard<'a> {
    names: &'a [String],
    /// The same, to be looked for all at once.
    tree: Names,
    /// What takes the place of their characters.
    aliases: Aliases,
}

impl<'a> Guard<'a> {
    /// Of these names.
    pub(super) fn new(names: &'a [String], aliases: Aliases) -> Self {
        Self { names, tree: Names::new(names), aliases }
    }

    /// A text in which no name is complete, nor could be completed by what a template writes around
    /// it, after it has trimmed whitespace.
    pub(super) fn text(&self, content: &str) -> String {
        let cuts =
            |name: &str| name.char_indices().skip(1).map(|(at, _)| at).collect::<Vec<usize>>();
        let mut parts = self.complete(content, 0..content.len());
        let (start, end) = (content.len() - content.trim_start().len(), content.trim_end().len());
        for name in self.names {
            for cut in cuts(name) {
                let (head, tail) = name.split_at(cut);
                if content[..end].ends_with(head) {
                    parts.push(Disguise { part: end - head.len()..end, mark: end });
                }
                if content[start..].starts_with(tail) {
                    parts.push(Disguise { part: start..start + tail.len(), mark: start });
                }
            }
        }
        self.aliases.disguised(content, &parts)
    }

    /// The same, with an alias for every character that has one: whatever is made of the text, what
    /// comes from it can be told.
    pub(super) fn traced(&self, content: &str) -> String {
        self.aliases.all(&self.text(content))
    }

    /// A text in which aliases remain only inside of names: those were typed, in whole or in part. A
    /// normalizer may yet lower letters, so names count in any case.
    pub(super) fn spelled(&self, text: &str) -> String {
        // Where each character of the plain text stands, and where of it the characters begin.
        let (mut plain, mut places) = (String::with_capacity(text.len()), Vec::new());
        for (at, char) in text.char_indices().filter(|(_, char)| !self.aliases.is_mark(*char)) {
            places.push((plain.len(), at, char));
            plain.push(lower(self.aliases.meant(char)));
        }
        let lower: Vec<String> =
            self.names.iter().map(|name| name.chars().map(lower).collect()).collect();
        let tree = Names::new(&lower);
        let mut kept = vec![false; places.len()];
        for (place, (start, ..)) in places.iter().enumerate() {
            let Some(longest) = tree.starts(&plain[*start..]).last() else { continue };
            let inside = places[place..].iter().take_while(|(at, ..)| *at < start + longest);
            let count = inside.count();
            kept[place..place + count].fill(true);
        }
        let mut result = String::with_capacity(text.len());
        let mut places = places.into_iter().zip(kept).peekable();
        for (at, char) in text.char_indices() {
            match places.next_if(|((_, place, _), _)| *place == at) {
                Some(((.., char), false)) => result.push(self.aliases.meant(char)),
                _ => result.push(char),
            }
        }
        result
    }

    /// A text in which no name that touches this range is complete.
    fn within(&self, text: &str, range: Range<usize>) -> String {
        self.aliases.disguised(text, &self.complete(text, range))
    }

    /// `plain` where a guarded form of it shows something else, and the guarded form around that; in the
    /// part that differs, no name is complete.
    pub(super) fn merged(&self, plain: &str, guarded: &str) -> String {
        let shown = self.aliases.plain(guarded);
        let differs = difference(plain, &shown);
        let after = shown.len() - (plain.len() - differs.end);
        let [start, end] = [differs.start, after].map(|at| self.aliases.place(guarded, at));
        let middle = start..start + differs.len();
        let text = [&guarded[..start], &plain[differs], &guarded[end..]].concat();
        self.within(&text, middle)
    }

    /// Every complete name that touches a range.
    fn complete(&self, text: &str, range: Range<usize>) -> Vec<Disguise> {
        let mut parts = Vec::new();
        for (at, char) in text.char_indices().take_while(|(at, _)| *at < range.end) {
            for length in self.tree.starts(&text[at..]).filter(|length| at + length > range.start) {
                parts.push(Disguise { part: at..at + length, mark: at + char.len_utf8() });
            }
        }
        parts
    }
}

/// A letter in lower case, if that is one character too.
fn lower(char: char) -> char {
    let mut lower = char.to_lowercase();
    lower.next().filter(|_| lower.next().is_none()).unwrap_or(char)
}

/// The part of `text` in which it differs from `other`: both begin and end alike around it.
pub(super) fn difference(text: &str, other: &str) -> Range<usize> {
    let same = text.chars().zip(other.chars()).take_while(|(one, other)| one == other);
    let start: usize = same.map(|(char, _)| char.len_utf8()).sum();
    let (text, other) = (&text[start..], &other[start..]);
    let same = text.chars().rev().zip(other.chars().rev()).take_while(|(one, other)| one == other);
    let end: usize = same.map(|(char, _)| char.len_utf8()).sum();
    start..start + text.len() - end
}
