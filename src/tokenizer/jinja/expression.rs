//! Jinja's expressions, read within bounds and written anew for the engine.
//!
//! An operation that makes, compares or takes apart values becomes the call of a function of ours
//! (`operators.rs`), which follows Python and pays for what it does. Chains of operators become one
//! call, so that only brackets nest, and how deep they nest is bounded here: the engine's parser
//! and compiler, which recurse, never see more.

use super::lexer::{Parsed, fault};
use super::reading::{Code, Parser, joined, literal};

/// The operands and operators of one call, which end with an operand.
const MOST_PARTS: usize = 1001;

impl Parser<'_> {
    /// An expression, or several with commas between them, which make a tuple.
    pub(super) fn tuple(&mut self) -> Parsed<Code> {
        self.tuple_of(Self::expression)
    }

    /// What a loop walks over: the word `if` after it begins a filter.
    pub(super) fn iterable(&mut self) -> Parsed<Code> {
        self.tuple_of(Self::or)
    }

    fn tuple_of(&mut self, item: fn(&mut Self) -> Parsed<Code>) -> Parsed<Code> {
        let first = item(self)?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.take(",") {
            if self.at_end() || self.is(")") {
                break;
            }
            items.push(item(self)?);
        }
        self.tuple_code(&items)
    }

    fn tuple_code(&self, items: &[Code]) -> Parsed<Code> {
        let comma = if items.len() == 1 { "," } else { "" };
        self.node(format!("({}{comma})", joined(items, ", ")), items)
    }

    /// An expression that may be conditional.
    pub(super) fn expression(&mut self) -> Parsed<Code> {
        self.nested(|parser| {
            let mut value = parser.or()?;
            while parser.take("if") {
                let test = parser.or()?;
                if parser.take("else") {
                    let other = parser.expression()?;
                    let text = format!("({} if {} else {})", value.text, test.text, other.text);
                    value = parser.node(text, &[value, test, other])?;
                } else {
                    let text = format!("({} if {})", value.text, test.text);
                    value = parser.node(text, &[value, test])?;
                }
            }
            Ok(value)
        })
    }

    fn or(&mut self) -> Parsed<Code> {
        self.short_circuit("or", Self::and)
    }

    fn and(&mut self) -> Parsed<Code> {
        self.short_circuit("and", Self::not)
    }

    /// A chain of `and` or `or`, which are associative, written as a balanced tree.
    fn short_circuit(&mut self, word: &str, part: fn(&mut Self) -> Parsed<Code>) -> Parsed<Code> {
        let mut parts = vec![part(self)?];
        while self.take(word) {
            parts.push(part(self)?);
        }
        while parts.len() > 1 {
            let pairs = parts.chunks(2).map(|pair| match pair {
                [left, right] => self.node(format!("({} {word} {})", left.text, right.text), pair),
                _ => Ok(pair[0].clone()),
            });
            parts = pairs.collect::<Parsed<_>>()?;
        }
        Ok(parts.remove(0))
    }

    fn not(&mut self) -> Parsed<Code> {
        if self.take("not") {
            let value = self.nested(Self::not)?;
            return self.node(format!("(not {})", value.text), &[value]);
        }
        self.compare()
    }

    fn compare(&mut self) -> Parsed<Code> {
        let mut parts = vec![self.sum()?];
        loop {
            let known = ["==", "!=", "<", ">", "<=", ">=", "in"];
            let sign = match known.into_iter().find(|sign| self.take(sign)) {
                Some(sign) => sign,
                None if self.is("not") && self.is_at(1, "in") => {
                    self.at += 2;
                    "not in"
                }
                None => break,
            };
            parts.push(Code::leaf(literal(sign)));
            parts.push(self.sum()?);
        }
        self.chain("compare", parts)
    }

    fn sum(&mut self) -> Parsed<Code> {
        self.arithmetic(&["+", "-"], Self::concat)
    }

    fn concat(&mut self) -> Parsed<Code> {
        let mut parts = vec![self.product()?];
        while self.take("~") {
            parts.push(self.product()?);
        }
        self.chain("text", parts)
    }

    fn product(&mut self) -> Parsed<Code> {
        self.arithmetic(&["*", "//", "/", "%"], Self::power)
    }

    fn power(&mut self) -> Parsed<Code> {
        self.arithmetic(&["**"], |parser| parser.unary(true))
    }

    /// A chain of operators of one rank, with the operators as strings between the operands.
    fn arithmetic(&mut self, signs: &[&str], part: fn(&mut Self) -> Parsed<Code>) -> Parsed<Code> {
        let mut parts = vec![part(self)?];
        while let Some(sign) = signs.iter().find(|sign| self.take(sign)) {
            parts.push(Code::leaf(literal(sign)));
            parts.push(part(self)?);
        }
        self.chain("calculate", parts)
    }

    /// One part as it is, or a call with all of them.
    fn chain(&self, function: &str, mut parts: Vec<Code>) -> Parsed<Code> {
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        // The engine's functions take at most 2000 arguments.
        while parts.len() > MOST_PARTS {
            if function == "compare" {
                return fault(self.line(), "a comparison of more than 500 values");
            }
            let rest = parts.split_off(MOST_PARTS);
            parts = [vec![self.call(function, &parts)?], rest].concat();
        }
        self.call(function, &parts)
    }

    fn unary(&mut self, filtered: bool) -> Parsed<Code> {
        let value = if self.take("-") {
            let value = self.nested(|parser| parser.unary(false))?;
            self.call("negative", &[value])?
        } else if self.take("+") {
            let value = self.nested(|parser| parser.unary(false))?;
            self.call("calculate", &[value])?
        } else {
            self.primary()?
        };
        let value = self.postfix(value)?;
        if filtered { self.filters_and_tests(value) } else { Ok(value) }
    }
}
