//! The operands of expressions: values, what is asked of them, filters and tests.

use super::lexer::{Parsed, Token, fault};
use super::methods;
use super::reading::{Code, Parser, joined, literal};

impl Parser<'_> {
    /// A value.
    pub(super) fn primary(&mut self) -> Parsed<Code> {
        let Some(token) = self.next() else { return self.unexpected("a value") };
        match token {
            Token::Name(name) => match name.as_str() {
                "true" | "True" | "false" | "False" | "none" | "None" => {
                    self.at += 1;
                    Ok(Code::leaf(name.to_lowercase()))
                }
                _ => self.name().map(Code::leaf),
            },
            Token::Text(_) => {
                let mut text = String::new();
                while let Some(Token::Text(more)) = self.next() {
                    text.push_str(more);
                    self.at += 1;
                }
                Ok(Code::leaf(literal(&text)))
            }
            Token::Integer(number) => {
                self.at += 1;
                Ok(Code::leaf(number.to_string()))
            }
            Token::Float(number) => {
                self.at += 1;
                if !number.is_finite() {
                    return fault(self.line(), "a number too large");
                }
                Ok(Code::leaf(format!("{number:?}")))
            }
            Token::Sign("(") => {
                self.at += 1;
                if self.take(")") {
                    return Ok(Code::leaf("()"));
                }
                let value = self.tuple()?;
                self.expect(")")?;
                Ok(value)
            }
            Token::Sign("[") => {
                self.at += 1;
                let items = self.listed("]", Self::expression)?;
                self.node(format!("[{}]", joined(&items, ", ")), &items)
            }
            Token::Sign("{") => {
                self.at += 1;
                let items = self.listed("}", Self::entry)?;
                self.node(format!("{{{}}}", joined(&items, ", ")), &items)
            }
            Token::Sign(_) => self.unexpected("a value"),
        }
    }

    /// A key and a value of a map.
    fn entry(&mut self) -> Parsed<Code> {
        let mut key = self.expression()?;
        if !is_short_literal(&key) {
            key = self.call("key", &[key])?;
        }
        self.expect(":")?;
        let value = self.expression()?;
        self.node(format!("{}: {}", key.text, value.text), &[key, value])
    }

    /// What stands up to a closing bracket.
    fn listed(&mut self, end: &str, item: fn(&mut Self) -> Parsed<Code>) -> Parsed<Vec<Code>> {
        let mut items = Vec::new();
        while !self.take(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.take(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Attributes, items and calls.
    pub(super) fn postfix(&mut self, mut value: Code) -> Parsed<Code> {
        loop {
            if self.take(".") {
                value = self.attribute(value)?;
            } else if self.take("[") {
                value = self.subscript(value)?;
            } else if self.is("(") {
                let mut args = self.arguments()?;
                if value.text == "loop" {
                    args = vec![self.call("kept", &args)?];
                }
                let text = format!("{}({})", value.text, joined(&args, ", "));
                args.push(value);
                value = self.node(text, &args)?;
            } else {
                return Ok(value);
            }
        }
    }

    fn attribute(&mut self, value: Code) -> Parsed<Code> {
        if let Some(Token::Integer(index)) = self.next() {
            self.at += 1;
            return self.call("item", &[value, Code::leaf(index.to_string())]);
        }
        let name = self.name()?;
        let own = value.text == "loop" && !self.is("(");
        if own || !methods::is_known(name) {
            return self.node(format!("{}.{name}", value.text), &[value]);
        }
        // Python finds the method first, though a map may have an entry of that name.
        let mut args = vec![value, Code::leaf(literal(name))];
        if !self.is("(") {
            return self.call("attribute", &args);
        }
        args.extend(self.arguments()?);
        self.call("method", &args)
    }

    fn subscript(&mut self, value: Code) -> Parsed<Code> {
        let mut parts: Vec<Code> = Vec::new();
        let mut colons = 0;
        while !self.take("]") {
            if self.take(":") {
                colons += 1;
                parts.resize_with(colons, || Code::leaf("none"));
            } else if parts.len() == colons && colons < 3 {
                parts.push(self.expression()?);
            } else {
                return self.unexpected("`]`");
            }
        }
        if colons == 0 {
            let Some(key) = parts.pop() else { return self.unexpected("an index") };
            if is_short_literal(&key) && !methods::is_known(key.text.trim_matches('"')) {
                return self.node(format!("{}[{}]", value.text, key.text), &[value, key]);
            }
            return self.call("item", &[value, key]);
        }
        parts.resize_with(3, || Code::leaf("none"));
        parts.insert(0, value);
        self.call("slice", &parts)
    }

    /// The arguments of a call, each in its bracket: spread ones are walked first.
    fn arguments(&mut self) -> Parsed<Vec<Code>> {
        self.expect("(")?;
        self.listed(")", |parser| {
            if let Some(stars) = ["**", "*"].into_iter().find(|stars| parser.take(stars)) {
                let value = parser.expression()?;
                let kept = parser.call("kept", &[value])?;
                return Ok(kept.prefixed(stars));
            }
            if matches!(parser.next(), Some(Token::Name(_))) && parser.is_at(1, "=") {
                let name = parser.name()?;
                parser.expect("=")?;
                let value = parser.expression()?;
                return Ok(value.prefixed(&format!("{name}=")));
            }
            parser.expression()
        })
    }

    /// Filters and tests after a value.
    pub(super) fn filters_and_tests(&mut self, mut value: Code) -> Parsed<Code> {
        loop {
            if self.take("|") {
                let filter = self.filter()?;
                let text = format!("({}|{})", value.text, filter.text);
                value = self.node(text, &[value, filter])?;
            } else if self.take("is") {
                value = self.test(value)?;
            } else if self.is("(") {
                value = self.postfix(value)?;
            } else {
                return Ok(value);
            }
        }
    }

    /// A filter's name with its arguments.
    pub(super) fn filter(&mut self) -> Parsed<Code> {
        let name = self.name()?;
        let args = if self.is("(") { self.arguments()? } else { Vec::new() };
        self.node(format!("{name}({})", joined(&args, ", ")), &args)
    }

    fn test(&mut self, value: Code) -> Parsed<Code> {
        let negated = self.take("not");
        let name = self.name()?;
        let args = match self.next() {
            Some(Token::Sign("(")) => self.arguments()?,
            Some(Token::Sign("[" | "{") | Token::Text(_) | Token::Integer(_) | Token::Float(_)) => {
                let value = self.primary()?;
                vec![self.postfix(value)?]
            }
            Some(Token::Name(word)) if !TEST_ENDS.contains(&word.as_str()) => {
                let value = self.primary()?;
                vec![self.postfix(value)?]
            }
            _ => Vec::new(),
        };
        let text = format!("({} is {name}({}))", value.text, joined(&args, ", "));
        let mut parts = args;
        parts.push(value);
        let test = self.node(text, &parts)?;
        if negated { self.node(format!("(not {})", test.text), &[test]) } else { Ok(test) }
    }
}

/// The words after the name of a test that are not its argument.
const TEST_ENDS: [&str; 9] = ["else", "or", "and", "if", "is", "in", "not", "recursive", "as"];

/// Whether this is a string of few bytes or a number, which the engine hashes at no cost to mention.
fn is_short_literal(code: &Code) -> bool {
    code.text.len() <= 64 && code.text.starts_with('"')
}
