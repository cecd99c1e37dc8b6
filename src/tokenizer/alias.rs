//! Characters that stand for others, so that text which spells the name of a token stays text.
//!
//! The characters that names begin and end with are replaced by their aliases: private characters that
//! no message contains. The template sees text of the same length, and what compares texts (`jinja/`)
//! takes an alias for its character; the tokenizer does not. Once the tokens that the template wrote
//! are cut out of the result, aliases become what they stand for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// The characters that have aliases: those that names of tokens begin and end with, and none that
/// JSON escapes.
const ALIASED: &str = "<>|[]{}()_-/:.#@!*+=~^%$?,;`";

/// The first character of the first block of aliases, in a plane for private use.
const FIRST: u32 = 0xf_0000;
/// The last character for private use.
const LAST: u32 = 0x10_fffd;

/// A block of private characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Aliases {
    base: u32,
}

impl Aliases {
    /// The characters of a block: an alias for each, and a mark that stands for nothing.
    const BLOCK: u32 = ALIASED.len() as u32 + 1;

    /// A block of which none of the texts contains a character, if there is one.
    pub(super) fn not_in<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Self> {
        let block = |char: char| u32::from(char).checked_sub(FIRST).map(|at| at / Self::BLOCK);
        let taken: HashSet<u32> = texts.flat_map(str::chars).filter_map(block).collect();
        let free = (0..(LAST - FIRST) / Self::BLOCK).find(|block| !taken.contains(block))?;
        Some(Self { base: FIRST + free * Self::BLOCK })
    }

    /// The block that begins with this character.
    pub(super) fn at(base: u32) -> Self {
        Self { base }
    }

    /// The number of its first character.
    pub(super) fn base(self) -> u32 {
        self.base
    }

    /// Whether a text may contain an alias: private planes begin with these bytes.
    pub(super) fn possible(text: &str) -> bool {
        text.bytes().any(|byte| byte >= 0xf3)
    }

    fn alias(self, char: char) -> Option<char> {
        let at = ALIASED.find(char)?;
        char::from_u32(self.base + u32::try_from(at).ok()?)
    }

    /// A mark, which stands for no character.
    fn mark(self) -> char {
        char::from_u32(self.base + Self::BLOCK - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Whether this is the mark, which is removed.
    pub(super) fn is_mark(self, char: char) -> bool {
        char == self.mark()
    }

    /// What a character stands for.
    pub(super) fn meant(self, char: char) -> char {
        let at = u32::from(char).checked_sub(self.base);
        let at = at.and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| ALIASED.as_bytes().get(at)).map_or(char, |byte| char::from(*byte))
    }

    /// A text without aliases.
    pub(super) fn plain(self, text: &str) -> Cow<'_, str> {
        if !Self::possible(text) {
            return text.into();
        }
        text.chars().filter(|char| !self.is_mark(*char)).map(|char| self.meant(char)).collect()
    }

    /// The place in a text of what is at this place of its plain form; marks there come after it.
    pub(super) fn place(self, text: &str, plain: usize) -> usize {
        let mut passed = 0;
        let ends = text.char_indices().find_map(|(at, char)| {
            let found = (passed >= plain).then_some(at);
            passed += if self.is_mark(char) { 0 } else { self.meant(char).len_utf8() };
            found
        });
        ends.unwrap_or(text.len())
    }

    /// A text with an alias for each character that has one.
    pub(super) fn all(self, text: &str) -> String {
        text.chars().map(|char| self.alias(char).unwrap_or(char)).collect()
    }

    /// Where a text contains another, whichever of the two has aliases; from left to right.
    pub(super) fn matches(self, text: &str, part: &str) -> Vec<Range<usize>> {
        let (plain, part) = (self.plain(text), self.plain(part));
        let mut chars = text.char_indices().filter(|(_, char)| !self.is_mark(*char));
        // The place in `plain` and in `text`.
        let mut here = (0, 0);
        let mut place = |wanted: usize| {
            while here.0 < wanted {
                let Some((at, char)) = chars.next() else { break };
                here = (here.0 + self.meant(char).len_utf8(), at + char.len_utf8());
            }
            here.1
        };
        let found = plain.match_indices(&*part);
        found.map(|(at, part)| place(at)..place(at + part.len())).collect()
    }

    /// A text in which these parts can no longer be read as names.
    pub(super) fn disguised(self, text: &str, parts: &[Disguise]) -> String {
        let mut changes = BTreeMap::new();
        for Disguise { part, mark } in parts {
            let mut chars = text[part.clone()].char_indices();
            match chars.find_map(|(at, char)| Some((part.start + at, self.alias(char)?))) {
                Some((at, alias)) => changes.insert(at, (alias, 1)),
                None => changes.insert(*mark, (self.mark(), 0)),
            };
        }
        let (mut result, mut rest) = (String::with_capacity(text.len()), 0);
        for (at, (char, replaced)) in changes {
            result.push_str(&text[rest..at]);
            result.push(char);
            // All characters with an alias are one byte long.
            rest = at + replaced;
        }
        result + &text[rest..]
    }
}

/// A part of a text that must not be read as the name of a token, or as a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disguise {
    /// The part, in which the first character with an alias is replaced by it.
    pub(super) part: Range<usize>,
    /// Where a mark is inserted if no character of the part has an alias.
    pub(super) mark: usize,
}
