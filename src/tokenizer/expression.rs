//! Regular expressions of tokenizers, which fail aloud where they give up.
//!
//! The crate's own steps treat the engine's limits as the end of the text: what follows would
//! become other tokens without a word. Here each limit is an error.

use fancy_regex::{CompileError, Regex, RegexBuilder};
use tokenizers::Offsets;
use tokenizers::pattern::Pattern;
use web_time::Instant;

use super::growth::Growth;

/// How expressions for byte-level BPE end: blanks, but the last one belongs to the word after them.
const BLANKS: &str = r"|\s+(?!\S)|\s+";

/// What stands for that end: the group shows which alternative was found.
const GROUPED: &str = r"|(?P<blanks__>\s+)";
const GROUP: &str = "blanks__";

/// Steps back that the search for one match may take.
const BACKTRACKS: usize = 1_000_000;

/// The longest expression, in bytes. Real ones have a few hundred.
const LONGEST: usize = 4096;

/// How large an expression may become when it is compiled, in bytes: twice what the largest real ones
/// need. A large one is slow on every byte of a text.
const SIZE: usize = 1 << 20;

/// What the engine does not search for in linear time, and what takes as much room where it does. The
/// engine bounds an expression without such parts only.
const PLAINER: [(&str, &str); 13] = [
    ("(?=", "(?:"),
    ("(?!", "(?:"),
    ("(?<=", "(?:"),
    ("(?<!", "(?:"),
    ("(?>", "(?:"),
    (r"\b", ""),
    (r"\B", ""),
    (r"\<", ""),
    (r"\>", ""),
    ("?+", "?"),
    ("*+", "*"),
    ("++", "+"),
    ("}+", "}"),
];

/// What has no plainer form, and is in no tokenizer: references to what was found.
const REFERRING: [&str; 6] = [r"\k", r"\K", r"\G", r"\g", "(?(", "(?P="];

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
    /// That of the syntax, or that it is too large.
    pub(super) fn new(source: &str) -> tokenizers::Result<Self> {
        check_size(source)?;
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
        Ok(Self { regex: compile(&fancy_regex::escape(text))?, blanks: false })
    }

    /// The expression with the time that it may take.
    pub(super) fn within<'a>(&'a self, growth: &'a Growth) -> Timed<'a> {
        Timed { expression: self, growth }
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

fn check_length(source: &str) -> tokenizers::Result<()> {
    if source.len() > LONGEST {
        let (shown, length) = (shown(source), source.len());
        return Err(format!("{shown}: {length} bytes; the most is {LONGEST}").into());
    }
    Ok(())
}

fn compile(source: &str) -> tokenizers::Result<Regex> {
    check_length(source)?;
    let regex = RegexBuilder::new(source).backtrack_limit(BACKTRACKS).build();
    regex.map_err(|error| format!("{}: {error}", shown(source)).into())
}

/// Fails for an expression that is too large once compiled, before it is.
fn check_size(source: &str) -> tokenizers::Result<()> {
    check_length(source)?;
    let mut pairs = source.as_bytes().windows(2);
    let numbered = pairs.any(|pair| pair[0] == b'\\' && pair[1].is_ascii_digit());
    if numbered || REFERRING.iter().any(|part| source.contains(part)) {
        return Err(format!("{}: it refers to what it found", shown(source)).into());
    }
    let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    let plainer = PLAINER.iter().fold(source.to_owned(), replace);
    match RegexBuilder::new(&plainer).delegate_size_limit(SIZE).build() {
        Err(fancy_regex::Error::CompileError(CompileError::InnerError(error)))
            if error.size_limit().is_some() =>
        {
            let reason = format!("larger than {} KiB once it is compiled", SIZE >> 10);
            Err(format!("{}: {reason}", shown(source)).into())
        }
        // One without a plainer form has no bound.
        Err(error) => Err(format!("{}: {error}", shown(source)).into()),
        Ok(_) => Ok(()),
    }
}

/// An expression with the time that it may take for a text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed<'a> {
    expression: &'a Expression,
    growth: &'a Growth,
}

impl Pattern for Timed<'_> {
    /// The matches and what lies between them, in order.
    fn find_matches(&self, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        let Self { expression, growth } = *self;
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let name = || format!("the expression {}", shown(expression.regex.as_str()));
        let mut start = Instant::now();
        let (mut splits, mut done, mut at, mut last) = (Vec::new(), 0, 0, None);
        while at <= text.len() {
            let found = expression.regex.find_from_pos(text, at);
            let found = found.map_err(|error| expression.stops(error))?;
            let Some(found) = found else { break };
            let (from, to) = (found.start(), expression.end(text, found.start(), found.end())?);
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
            growth.spend(start, name)?;
            start = Instant::now();
        }
        growth.spend(start, name)?;
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

    /// What an expression finds in a text.
    fn find(expression: &Expression, text: &str) -> tokenizers::Result<Vec<(Offsets, bool)>> {
        expression.within(&Growth::of(text.len())).find_matches(text)
    }

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
                let found = find(&expression, &text).unwrap();
                assert_eq!(found, plain(source, &text), "{source} {text:?}");
            }
        }
        for source in [r"a\|\s+(?!\S)|\s+", r"(?U)a|\s+(?!\S)|\s+", r"a*", r"(?=b)"] {
            let expression = Expression::new(source).unwrap();
            assert!(!expression.blanks, "{source}");
            let text = "aab  b| c a|  b";
            assert_eq!(find(&expression, text).unwrap(), plain(source, text), "{source}");
        }
    }

    #[test]
    fn blanks_have_no_limit() {
        let text = format!("{}x", " ".repeat(1_200_000));
        for source in [GPT2, LLAMA3] {
            let found = find(&Expression::new(source).unwrap(), &text).unwrap();
            let ends: Vec<usize> = found.iter().map(|((_, end), _)| *end).collect();
            assert_eq!(ends, [1_199_999, 1_200_001], "{source}");
        }
    }

    #[test]
    fn limits_are_errors() {
        let stops = Expression::new(r"(?:(?:x|x)*(?=z)(?!q)y)|\w| ").unwrap();
        assert_eq!(find(&stops, "ab xx").unwrap().len(), 5);
        let error = find(&stops, &format!("ab {}", "x".repeat(22))).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("x|x") && error.contains("gives up on this text"), "{error}");
    }

    /// A word for each letter of a text would be slow on every byte of it, and many of them fill the
    /// memory.
    #[test]
    fn large_expressions_are_refused() {
        for (source, reason) in [
            (r"(?:\p{L}{1,40}){1,40}".to_owned(), "larger than 1024 KiB once it is compiled"),
            (r"(?=\p{L}{40}x)\b|".repeat(60), "larger than 1024 KiB once it is compiled"),
            (r"(?<!\p{L}{40}x)a++".repeat(60), "larger than 1024 KiB once it is compiled"),
            (r"(\w+)\1".to_owned(), "it refers to what it found"),
            ("a".repeat(4097), "4097 bytes; the most is 4096"),
        ] {
            let error = Expression::new(&source).unwrap_err().to_string();
            assert!(error.contains(reason) && error.len() < 300, "{error}");
        }
    }

    /// The expressions of published tokenizers that are largest when compiled: GPT-4o's, Mistral's and
    /// those of `DeepSeek`.
    #[test]
    fn published_expressions_have_room() {
        let gpt4o = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let deepseek = r"[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let kimi = r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}|\s+(?!\S)|\s+";
        for source in [GPT2, LLAMA3, gpt4o, deepseek, kimi] {
            // Both as it is rewritten, and with the look-ahead that parts it.
            for source in [source.to_owned(), format!(r"{source}|\bx(?!y)|z?+")] {
                assert!(Expression::new(&source).is_ok(), "{source}");
            }
        }
    }

    /// A second for each piece would be a second for each letter.
    #[test]
    fn all_pieces_of_a_text_share_its_time() {
        let slow = Expression::new(r"(?:(?:x|x)*(?=z)(?!q)y)|\w").unwrap();
        let growth = Growth::of(14);
        let start = Instant::now();
        let piece = || slow.within(&growth).find_matches(&"x".repeat(14)).map(drop);
        let told = (0..10_000).find_map(|_| piece().err()).expect("an end").to_string();
        assert!(told.contains("takes too long: over 1 s in all steps"), "{told}");
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}
