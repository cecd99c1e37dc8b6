//! Reading the tokens of a tag, and writing expressions for the engine.

use super::lexer::{Parsed, Tag, Token, fault};

/// How deep expressions may nest.
const MOST_NESTED: usize = 40;

/// An expression, written for the engine.
#[derive(Clone, Debug)]
pub(super) struct Code {
    /// Its text, which binds tighter than any operator.
    pub(super) text: String,
    /// How deep it nests.
    height: usize,
}

impl Code {
    /// Something without parts.
    pub(super) fn leaf(text: impl Into<String>) -> Self {
        Self { text: text.into(), height: 1 }
    }

    /// The same with something before it.
    pub(super) fn prefixed(self, before: &str) -> Self {
        Self { text: format!("{before}{}", self.text), ..self }
    }
}

/// The names of the functions that take the place of operators. A template cannot use them: its own
/// names do not begin with two underscores.
pub(super) const OURS: &str = "__";

/// Reads the tokens of a tag.
#[derive(Debug)]
pub(super) struct Parser<'a> {
    tokens: &'a [Token],
    /// The next token.
    pub(super) at: usize,
    depth: usize,
    line: usize,
}

impl<'a> Parser<'a> {
    /// A reader of a tag.
    pub(super) fn new(tag: &'a Tag) -> Self {
        Self { tokens: &tag.tokens, at: 0, depth: 0, line: tag.line }
    }

    /// The line of the tag.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Whether the next token is this operator or keyword; it is skipped if so.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let taken = self.is(word);
        self.at += usize::from(taken);
        taken
    }

    /// Whether the next token is this operator or keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        self.is_at(0, word)
    }

    /// The same for a token further on.
    pub(super) fn is_at(&self, ahead: usize, word: &str) -> bool {
        match self.tokens.get(self.at + ahead) {
            Some(Token::Sign(sign)) => *sign == word,
            Some(Token::Name(name)) => name == word,
            _ => false,
        }
    }

    /// Skips an operator or keyword that must come next.
    pub(super) fn expect(&mut self, word: &str) -> Parsed<()> {
        if self.take(word) { Ok(()) } else { self.unexpected(&format!("`{word}`")) }
    }

    /// Fails unless the tag is read to its end.
    pub(super) fn end(&self) -> Parsed<()> {
        if self.at_end() { Ok(()) } else { self.unexpected("the end of the tag") }
    }

    /// Whether the tag is read to its end.
    pub(super) fn at_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    /// Fails because something else was expected.
    pub(super) fn unexpected<T>(&self, expected: &str) -> Parsed<T> {
        let found = match self.tokens.get(self.at) {
            None => "the end of the tag".to_owned(),
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Sign(sign)) => format!("`{sign}`"),
            Some(Token::Text(_)) => "a string".to_owned(),
            Some(Token::Integer(_) | Token::Float(_)) => "a number".to_owned(),
        };
        fault(self.line, format!("expected {expected}, found {found}"))
    }

    /// The next token.
    pub(super) fn next(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    /// A name that the template may use for itself.
    pub(super) fn name(&mut self) -> Parsed<&'a str> {
        let Some(Token::Name(name)) = self.tokens.get(self.at) else {
            return self.unexpected("a name");
        };
        if name.starts_with(OURS) {
            return fault(self.line, format!("the name `{name}`: none may begin with `{OURS}`"));
        }
        self.at += 1;
        Ok(name)
    }

    /// The call of a function of ours.
    pub(super) fn call(&self, function: &str, args: &[Code]) -> Parsed<Code> {
        self.node(format!("{OURS}{function}({})", joined(args, ", ")), args)
    }

    /// An expression over others, unless it nests too deep.
    pub(super) fn node(&self, text: String, parts: &[Code]) -> Parsed<Code> {
        let height = 1 + parts.iter().map(|part| part.height).max().unwrap_or(0);
        if height > MOST_NESTED {
            return self.too_deep();
        }
        Ok(Code { text, height })
    }

    /// Goes one level down, within bounds: brackets and signs nest without adding to the height.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MOST_NESTED {
            return self.too_deep();
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn too_deep<T>(&self) -> Parsed<T> {
        fault(self.line, format!("an expression nested deeper than {MOST_NESTED}"))
    }
}

/// The texts of several expressions.
pub(super) fn joined(codes: &[Code], between: &str) -> String {
    let texts: Vec<&str> = codes.iter().map(|code| code.text.as_str()).collect();
    texts.join(between)
}

/// A string as the engine reads it, on one line.
pub(super) fn literal(text: &str) -> String {
    let mut result = String::with_capacity(text.len() + 2);
    result.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => result.extend(['\\', char]),
            '\n' => result.push_str("\\n"),
            '\r' => result.push_str("\\r"),
            _ => result.push(char),
        }
    }
    result.push('"');
    result
}
