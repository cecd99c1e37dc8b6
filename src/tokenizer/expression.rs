//! Regular expressions of tokenizers, which fail aloud where they give up.
//!
//! The crate's own steps treat the engine's limits as the end of the text: what follows would
//! become other tokens without a word. Here each limit is an error.

use std::time::Duration;

use fancy_regex::{Regex, RegexBuilder};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;
use web_time::Instant;

/// How expressions for byte-level BPE end: blanks, but the last one belongs to the word after them.
const BLANKS: &str = r"|\s+(?!\S)|\s+";

/// What stands for that end: the group shows which alternative was found.
const GROUPED: &str = r"|(?P<blanks__>\s+)";
const GROUP: &str = "blanks__";

/// Steps back that the search for one match may take.
const BACKTRACKS: usize = 1_000_000;

/// How long all matches of a text may take: a hundred times what the slowest known tokenizer needs.
const TIME: Duration = Duration::from_secs(2);
const TIME_PER_BYTE: Duration = Duration::from_micros(20);

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    regex: Regex,
    /// Whether it was written with [`BLANKS`], in whose place [`GROUPED`] stands.
    ///
    /// Without look-ahead, the usual expressions run in linear time and without a limit: a megabyte
    /// of blanks is one match, from which the last one is taken back if a word follows.
    blanks: bool,
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// That of the syntax.
    pub(super) fn new(source: &str) -> tokenizers::Result<Self> {
        let compile = |source: &str| {
            let regex = RegexBuilder::new(source).backtrack_limit(BACKTRACKS).build();
            regex.map_err(|error| format!("{}: {error}", shown(source)))
        };
        // The flag U would turn the sense of each `+`, and an escaped bar is a character.
        let head = source.strip_suffix(BLANKS).filter(|head| {
            let escapes = head.bytes().rev().take_while(|byte| *byte == b'\\').count();
            escapes % 2 == 0 && !head.contains('U')
        });
        let rewritten = head.and_then(|head| compile(&format!("{head}{GROUPED}")).ok());
        Ok(match rewritten {
            Some(regex) => Self { regex, blanks: true },
            None => Self { regex: compile(source)?, blanks: false },
        })
    }

    /// The expression that finds a text itself.
    ///
    /// # Errors
    /// None that a text could cause but its length.
    pub(super) fn literal(text: &str) -> tokenizers::Result<Self> {
        Self::new(&fancy_regex::escape(text))
    }

    /// The end of a match: without the last of several blanks if a word follows.
    fn end(&self, text: &str, start: usize, end: usize) -> tokenizers::Result<usize> {
        let found = &text[start..end];
        let Some((last, _)) = found.char_indices().last() else { return Ok(end) };
        let ends = !self.blanks
            || last == 0
            || text[end..].chars().next().is_none_or(char::is_whitespace)
            || !found.chars().all(char::is_whitespace);
        if ends {
            return Ok(end);
        }
        let groups =
            self.regex.captures_from_pos(text, start).map_err(|error| self.stops(error))?;
        let blanks = groups.is_some_and(|groups| groups.name(GROUP).is_some());
        Ok(if blanks { start + last } else { end })
    }

    fn stops(&self, error: fancy_regex::Error) -> String {
        format!("the expression {} gives up on this text: {error}", shown(self.regex.as_str()))
    }
}

impl Pattern for &Expression {
    /// The matches and what lies between them, in order.
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let start = Instant::now();
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let limit = TIME.saturating_add(TIME_PER_BYTE.saturating_mul(bytes));
        let (mut splits, mut done, mut at, mut last) = (Vec::new(), 0, 0, None);
        while at <= text.len() {
            let found = self.regex.find_from_pos(text, at).map_err(|error| self.stops(error))?;
            let Some(found) = found else { break };
            let (from, to) = (found.start(), self.end(text, found.start(), found.end())?);
            at = to;
            if from == to {
                // An empty match is none right after another; the search goes on behind the next
                // character.
                at += text[to..].chars().next().map_or(1, char::len_utf8);
                if last == Some(to) {
                    continue;
                }
            }
            if done < from {
                splits.push(((done, from), false));
            }
            splits.push(((from, to), true));
            (done, last) = (to, Some(to));
            if start.elapsed() > limit {
                let taken = limit.as_secs_f32();
                let name = shown(self.regex.as_str());
                return Err(format!("the expression {name} takes over {taken:.0} s here").into());
            }
        }
        if done < text.len() {
            splits.push(((done, text.len()), false));
        }
        Ok(splits)
    }
}

/// An expression as errors show it: the start of a long one.
fn shown(source: &str) -> String {
    let written = source.replace(GROUPED, BLANKS);
    match written.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}...", &written[..end]),
        None => format!("{written:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GPT-2's expression and Llama 3's, as their files have them.
    const GPT2: &str =
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    /// What the engine finds without any rewriting.
    fn plain(source: &str, text: &str) -> Vec<(Offsets, bool)> {
        (&Regex::new(source).unwrap()).find_matches(text).unwrap()
    }

    #[test]
    fn the_rewritten_end_finds_what_the_written_one_does() {
        let parts = [" ", "\n", "\u{a0}", "\r\n", "a", "'s", "9", "!", "é", "\u{301}", "日"];
        let mut state = 7_usize;
        let mut roll = |bound: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % bound
        };
        for source in [GPT2, LLAMA3, r"(a)(?=!)|\s+(?!\S)|\s+", r"x*|\s+(?!\S)|\s+"] {
            let expression = Expression::new(source).unwrap();
            assert!(expression.blanks);
            for _ in 0..300 {
                let text: String = (0..roll(30)).map(|_| parts[roll(parts.len())]).collect();
                let found = (&expression).find_matches(&text).unwrap();
                assert_eq!(found, plain(source, &text), "{source} {text:?}");
            }
        }
        for source in [r"a\|\s+(?!\S)|\s+", r"(?U)a|\s+(?!\S)|\s+", r"a*", r"(?=b)"] {
            let expression = Expression::new(source).unwrap();
            assert!(!expression.blanks, "{source}");
            let text = "aab  b| c a|  b";
            assert_eq!((&expression).find_matches(text).unwrap(), plain(source, text), "{source}");
        }
    }

    #[test]
    fn blanks_have_no_limit() {
        let text = format!("{}x", " ".repeat(1_200_000));
        for source in [GPT2, LLAMA3] {
            let found = (&Expression::new(source).unwrap()).find_matches(&text).unwrap();
            let ends: Vec<usize> = found.iter().map(|((_, end), _)| *end).collect();
            assert_eq!(ends, [1_199_999, 1_200_001], "{source}");
        }
    }

    #[test]
    fn limits_are_errors() {
        let stops = Expression::new(r"(?:(?:x|x)*(?=z)(?!q)y)|\w| ").unwrap();
        assert_eq!((&stops).find_matches("ab xx").unwrap().len(), 5);
        let error = (&stops).find_matches(&format!("ab {}", "x".repeat(22))).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("x|x") && error.contains("gives up on this text"), "{error}");
    }
}
