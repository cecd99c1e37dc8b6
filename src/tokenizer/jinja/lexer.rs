//! A template's text and tags, as Jinja splits them with `trim_blocks` and `lstrip_blocks`.

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The line, from 1; 0 if the fault is in no single line.
    pub(super) line: usize,
    /// What is wrong.
    pub(super) reason: String,
}

/// A fault, or what was read.
pub(super) type Parsed<T> = Result<T, Fault>;

/// A fault in a line.
pub(super) fn fault<T>(line: usize, reason: impl Into<String>) -> Parsed<T> {
    Err(Fault { line, reason: reason.into() })
}

/// A part of a template.
#[derive(Debug)]
pub(super) enum Part {
    /// Text that is copied.
    Text(String),
    /// `{{ ... }}`.
    Print(Tag),
    /// `{% ... %}`.
    Block(Tag),
}

/// The tokens of a tag.
#[derive(Debug)]
pub(super) struct Tag {
    /// The line in which it begins.
    pub(super) line: usize,
    /// What stands between its ends.
    pub(super) tokens: Vec<Token>,
}

/// The smallest parts of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword.
    Name(String),
    /// A string, without its quotes and escapes.
    Text(String),
    /// An integer.
    Integer(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Operators and brackets, longer ones first.
const SIGNS: [&str; 27] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";", "!",
];

/// The longest name; each look-up of a variable costs its length.
const LONGEST_NAME: usize = 256;

/// Splits a template.
pub(super) fn parts(source: &str) -> Parsed<Vec<Part>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut reader = Reader { source, at: 0, line: 1, counted: 0, line_starts: true };
    let mut parts = Vec::new();
    while reader.at < source.len() {
        reader.part(&mut parts)?;
    }
    Ok(parts)
}

struct Reader<'a> {
    source: &'a str,
    at: usize,
    /// The line of the byte `counted`.
    line: usize,
    counted: usize,
    /// Whether the last tag swallowed the end of its line.
    line_starts: bool,
}

impl<'a> Reader<'a> {
    /// Reads a text and the tag after it.
    fn part(&mut self, parts: &mut Vec<Part>) -> Parsed<()> {
        let rest = &self.source[self.at..];
        let opener = rest
            .match_indices('{')
            .find(|(at, _)| matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')));
        let Some((length, _)) = opener else {
            parts.push(Part::Text(rest.to_owned()));
            self.at = self.source.len();
            return Ok(());
        };
        let kind = rest.as_bytes()[length + 1];
        let from = self.at;
        self.at += length + 2;
        let line = self.line_here();
        let sign = self.take(&["-", "+"]);
        let text = self.stripped(&self.source[from..from + length], sign, kind != b'{');
        parts.push(Part::Text(text.to_owned()));
        match kind {
            b'#' => self.comment(line),
            b'{' => {
                let tokens = self.tokens(line, "}}")?;
                parts.push(Part::Print(Tag { line, tokens }));
                Ok(())
            }
            _ if self.raw_begins() => self.raw(line, parts),
            _ => {
                let tokens = self.tokens(line, "%}")?;
                parts.push(Part::Block(Tag { line, tokens }));
                Ok(())
            }
        }
    }

    /// The text before a tag, without what the tag's sign or its place on the line removes.
    fn stripped(&self, text: &'a str, sign: Option<&str>, block: bool) -> &'a str {
        if sign == Some("-") {
            return text.trim_end();
        }
        let start = text.rfind('\n').map_or(0, |at| at + 1);
        let own_line = start > 0 || self.line_starts;
        if sign.is_none() && block && own_line && text[start..].trim().is_empty() {
            return &text[..start];
        }
        text
    }

    fn comment(&mut self, line: usize) -> Parsed<()> {
        let Some(end) = self.source[self.at..].find("#}") else {
            return fault(line, "a comment without its end, #}");
        };
        let sign = self.source[self.at..self.at + end].chars().next_back();
        self.at += end + 2;
        self.after(sign, true);
        Ok(())
    }

    /// Skips `raw` and the end of its tag, if they are next.
    fn raw_begins(&mut self) -> bool {
        let rest = self.source[self.at..].trim_start();
        let Some(rest) = rest.strip_prefix("raw") else { return false };
        let rest = rest.trim_start();
        let (rest, sign) = match (rest.strip_prefix("-%}"), rest.strip_prefix("%}")) {
            (Some(rest), _) => (rest.trim_start(), true),
            (None, Some(rest)) => (rest, false),
            (None, None) => return false,
        };
        self.at = self.source.len() - rest.len();
        self.line_starts = sign && self.source[..self.at].ends_with('\n');
        true
    }

    /// Copies the text up to `endraw`.
    fn raw(&mut self, line: usize, parts: &mut Vec<Part>) -> Parsed<()> {
        let from = self.at;
        for (at, _) in self.source[from..].match_indices("{%") {
            self.at = from + at + 2;
            let sign = self.take(&["-", "+"]);
            let Some(rest) = self.source[self.at..].trim_start().strip_prefix("endraw") else {
                continue;
            };
            self.at = self.source.len() - rest.trim_start().len();
            let end = self.take(&["-", "+"]);
            if self.take(&["%}"]).is_none() {
                continue;
            }
            let text = self.stripped(&self.source[from..from + at], sign, true);
            parts.push(Part::Text(text.to_owned()));
            self.after(end.and_then(|end| end.chars().next()), true);
            return Ok(());
        }
        fault(line, "a raw block without its end, {% endraw %}")
    }

    /// The tokens up to the end of a tag.
    fn tokens(&mut self, line: usize, end: &str) -> Parsed<Vec<Token>> {
        let (mut tokens, mut open) = (Vec::new(), Vec::new());
        loop {
            self.skip(self.source[self.at..].len() - self.source[self.at..].trim_start().len());
            let here = self.line_here();
            let rest = &self.source[self.at..];
            let sign = rest.chars().next().filter(|sign| matches!(sign, '-' | '+'));
            let sign = sign.filter(|sign| *sign == '-' || end == "%}");
            let ends = rest.get(sign.map_or(0, char::len_utf8)..).unwrap_or_default();
            if open.is_empty() && ends.starts_with(end) {
                self.at = self.source.len() - ends.len() + end.len();
                self.after(sign, end == "%}");
                return Ok(tokens);
            }
            let Some(first) = rest.chars().next() else {
                return fault(line, format!("a tag without its end, {end}"));
            };
            let token = match first {
                '\'' | '"' => self.string(here, first)?,
                '0'..='9' => self.number(here)?,
                _ if first.is_alphabetic() || first == '_' => self.name(here)?,
                _ => {
                    let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) else {
                        return fault(here, format!("{first:?} cannot be part of an expression"));
                    };
                    self.skip(sign.len());
                    brackets(&mut open, sign).or_else(|reason| fault(here, reason))?;
                    Token::Sign(sign)
                }
            };
            tokens.push(token);
        }
    }

    fn name(&mut self, line: usize) -> Parsed<Token> {
        let rest = &self.source[self.at..];
        let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_');
        let name = &rest[..end.unwrap_or(rest.len())];
        self.skip(name.len());
        if name.len() > LONGEST_NAME {
            return fault(line, format!("a name of more than {LONGEST_NAME} bytes"));
        }
        if !name.is_ascii() {
            return fault(line, format!("the name {name:?}; names are ASCII letters and digits"));
        }
        Ok(Token::Name(name.to_owned()))
    }

    fn string(&mut self, line: usize, quote: char) -> Parsed<Token> {
        let rest = &self.source[self.at + 1..];
        let mut escaped = false;
        let end = rest.find(|char| {
            let ends = char == quote && !escaped;
            escaped = char == '\\' && !escaped;
            ends
        });
        let Some(end) = end else { return fault(line, "a string without its end") };
        self.skip(end + 2);
        unescaped(&rest[..end]).map_or_else(|reason| fault(line, reason), |s| Ok(Token::Text(s)))
    }

    fn number(&mut self, line: usize) -> Parsed<Token> {
        let rest = &self.source.as_bytes()[self.at..];
        let digits = |from: usize| {
            let digit = |byte: &&u8| byte.is_ascii_digit() || **byte == b'_';
            rest.get(from..).unwrap_or_default().iter().take_while(digit).count()
        };
        let at = |at: usize| rest.get(at).copied().unwrap_or_default();
        let radix = match (at(0), at(1) | 0x20) {
            (b'0', b'x') => 16,
            (b'0', b'o') => 8,
            (b'0', b'b') => 2,
            _ => 10,
        };
        let plain = |from: usize, to: usize| self.source[from..to].replace('_', "");
        if radix != 10 {
            let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
            let end = self.at + 2 + rest[2..].iter().take_while(word).count();
            let value = i128::from_str_radix(&plain(self.at + 2, end), radix);
            self.at = end;
            return value.map(Token::Integer).or_else(|_| fault(line, "a damaged number"));
        }
        let mut length = digits(0);
        let mut whole = true;
        if at(length) == b'.' && at(length + 1).is_ascii_digit() {
            length += 1 + digits(length + 1);
            whole = false;
        }
        let signed = usize::from(matches!(at(length + 1), b'+' | b'-'));
        if at(length) | 0x20 == b'e' && at(length + 1 + signed).is_ascii_digit() {
            length += 1 + signed + digits(length + 1 + signed);
            whole = false;
        }
        let text = plain(self.at, self.at + length);
        let written = &self.source[self.at..self.at + length];
        self.at += length;
        let parts = written.split(|char: char| !char.is_ascii_digit() && char != '_');
        let loose = |digits: &str| {
            digits.starts_with('_') || digits.ends_with('_') || digits.contains("__")
        };
        if parts.into_iter().any(loose) {
            return fault(line, "a damaged number");
        }
        if whole && text.len() > 1 && text.starts_with('0') && text.contains(|c| c != '0') {
            return fault(line, "a number that begins with 0");
        }
        if whole {
            return text.parse().map(Token::Integer).or_else(|_| fault(line, "a number too large"));
        }
        text.parse().map(Token::Float).or_else(|_| fault(line, "a damaged number"))
    }

    /// Skips what the end of a tag swallows: all blanks by its sign, else the end of the line.
    fn after(&mut self, sign: Option<char>, block: bool) {
        let rest = &self.source[self.at..];
        let swallowed = match sign {
            Some('-') => rest.len() - rest.trim_start().len(),
            Some('+') => 0,
            _ => usize::from(block && rest.starts_with('\n')),
        };
        self.at += swallowed;
        self.line_starts = self.source[..self.at].ends_with('\n');
    }

    /// Skips one of these, if it is next.
    fn take(&mut self, any: &[&'static str]) -> Option<&'static str> {
        let found = any.iter().find(|one| self.source[self.at..].starts_with(**one))?;
        self.at += found.len();
        Some(found)
    }

    fn skip(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn line_here(&mut self) -> usize {
        let newlines = self.source[self.counted..self.at].bytes().filter(|byte| *byte == b'\n');
        self.line += newlines.count();
        self.counted = self.at;
        self.line
    }
}

/// Keeps the brackets that are open: within them, a tag does not end.
fn brackets(open: &mut Vec<&'static str>, sign: &str) -> Result<(), String> {
    match sign {
        "(" => open.push(")"),
        "[" => open.push("]"),
        "{" => open.push("}"),
        ")" | "]" | "}" => match open.pop() {
            Some(closer) if closer == sign => {}
            Some(closer) => return Err(format!("{sign} where {closer} is expected")),
            None => return Err(format!("{sign} closes nothing")),
        },
        _ => {}
    }
    Ok(())
}

/// A string as Python reads it.
fn unescaped(text: &str) -> Result<String, String> {
    let mut result = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            result.push(char);
            continue;
        }
        let Some(kind) = chars.next() else { break };
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        match kind {
            '\n' => {}
            'n' => result.push('\n'),
            't' => result.push('\t'),
            'r' => result.push('\r'),
            'a' => result.push('\x07'),
            'b' => result.push('\x08'),
            'f' => result.push('\x0c'),
            'v' => result.push('\x0b'),
            '\\' | '\'' | '"' => result.push(kind),
            'x' | 'u' | 'U' => {
                let rest = chars.as_str();
                let code = rest.get(..digits).and_then(|code| u32::from_str_radix(code, 16).ok());
                let named = code.and_then(char::from_u32);
                result.push(named.ok_or_else(|| format!("the damaged escape \\{kind}"))?);
                chars = rest[digits..].chars();
            }
            '0'..='7' => {
                let octal = |char: &char| matches!(char, '0'..='7');
                let more = chars.as_str().chars().take(2).take_while(octal).count();
                let code = chars.as_str()[..more]
                    .chars()
                    .fold(kind.to_digit(8), |code, digit| Some(code? * 8 + digit.to_digit(8)?));
                result.extend(code.and_then(char::from_u32));
                chars = chars.as_str()[more..].chars();
            }
            'N' => return Err("the escape \\N, for characters by their names".to_owned()),
            other => result.extend(['\\', other]),
        }
    }
    Ok(result)
}
