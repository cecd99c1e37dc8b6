//! A template, read within bounds and written anew for the engine.
//!
//! The result has tags only: texts are printed as strings, so that nothing in them can be taken for
//! a tag, and whitespace is as it must be already. Whatever is stored passes through `kept`
//! (`keep.rs`), which refuses what is nested too deep: at `set`, at `with`, and where a macro
//! begins.

use super::lexer::{self, Parsed, Part, Tag, fault};
use super::reading::{Code, Parser, joined, literal};

/// The longest template; the longest published ones have a tenth of this.
const LONGEST: usize = 256 << 10;

/// How deep blocks may nest.
const MOST_BLOCKS: usize = 32;

/// How many `elif` may be open, since each nests in the one before.
const MOST_BRANCHES: usize = 128;

/// Writes a template for the engine, each tag in the line that it has in `source`.
pub(super) fn rewritten(source: &str) -> Parsed<String> {
    if source.len() > LONGEST {
        let size = source.len();
        return fault(0, format!("it has {size} bytes; at most {LONGEST} are read"));
    }
    let mut writer = Writer { text: String::new(), line: 1, open: Vec::new() };
    for part in lexer::parts(source)? {
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => writer.text.push_str(&format!("{{{{ {} }}}}", literal(&text))),
            Part::Print(tag) => {
                let mut parser = Parser::new(&tag);
                let value = parser.tuple()?;
                parser.end()?;
                writer.tag(tag.line, &format!("{{{{ {} }}}}", value.text));
            }
            Part::Block(tag) => writer.block(&tag)?,
        }
    }
    match writer.open.pop() {
        None => Ok(writer.text),
        Some(block) => fault(block.line, format!("`{}` without its end", block.name)),
    }
}

/// A block whose end has not been read.
struct Open {
    name: &'static str,
    line: usize,
    branches: usize,
}

struct Writer {
    text: String,
    line: usize,
    open: Vec<Open>,
}

impl Writer {
    fn tag(&mut self, line: usize, text: &str) {
        if line > self.line {
            self.text.push_str("{#");
            self.text.extend(std::iter::repeat_n('\n', line - self.line));
            self.text.push_str("#}");
            self.line = line;
        }
        self.text.push_str(text);
    }

    fn block(&mut self, tag: &Tag) -> Parsed<()> {
        let mut parser = Parser::new(tag);
        let word = parser.name()?;
        let line = tag.line;
        let text = match word {
            "if" => {
                self.opens("if", line)?;
                format!("{{% if {} %}}", parser.tuple()?.text)
            }
            "elif" => {
                self.branches(line)?;
                format!("{{% elif {} %}}", parser.tuple()?.text)
            }
            "else" => {
                if !self.open.last().is_some_and(|block| matches!(block.name, "if" | "for")) {
                    return fault(line, "`else` outside of `if` and `for`");
                }
                "{% else %}".to_owned()
            }
            "for" => {
                self.opens("for", line)?;
                looped(&mut parser)?
            }
            "break" | "continue" => format!("{{% {word} %}}"),
            "set" => self.assignment(&mut parser)?,
            "with" => {
                self.opens("with", line)?;
                scope(&mut parser)?
            }
            // The model's messages, marked for training; a block of its own scope.
            "generation" => {
                self.opens("generation", line)?;
                "{% with %}".to_owned()
            }
            "macro" => {
                self.opens("macro", line)?;
                let name = parser.name()?;
                let (parameters, kept) = parameters(&mut parser)?;
                format!("{{% macro {name}({parameters}) %}}{kept}")
            }
            "call" => {
                self.opens("call", line)?;
                let (parameters, kept) = match parser.is("(") {
                    true => parameters(&mut parser)?,
                    false => (String::new(), String::new()),
                };
                let call = parser.expression()?;
                format!("{{% call({parameters}) {} %}}{kept}", call.text)
            }
            "filter" => {
                self.opens("filter", line)?;
                format!("{{% filter {} %}}", filters(&mut parser)?)
            }
            _ => self.end(word, line)?,
        };
        parser.end()?;
        self.tag(line, &text);
        Ok(())
    }

    fn opens(&mut self, name: &'static str, line: usize) -> Parsed<()> {
        if self.open.len() == MOST_BLOCKS {
            return fault(line, format!("blocks nested deeper than {MOST_BLOCKS}"));
        }
        self.open.push(Open { name, line, branches: 0 });
        Ok(())
    }

    fn branches(&mut self, line: usize) -> Parsed<()> {
        let all: usize = self.open.iter().map(|block| block.branches).sum();
        if all == MOST_BRANCHES {
            return fault(line, format!("more than {MOST_BRANCHES} branches in each other"));
        }
        match self.open.last_mut() {
            Some(block) if block.name == "if" => block.branches += 1,
            _ => return fault(line, "`elif` outside of `if`"),
        }
        Ok(())
    }

    fn end(&mut self, word: &str, line: usize) -> Parsed<String> {
        let known = ["if", "for", "set", "with", "generation", "macro", "call", "filter"];
        let name = word.strip_prefix("end").filter(|name| known.contains(name));
        let Some(name) = name else { return fault(line, format!("the unknown tag `{word}`")) };
        match self.open.pop() {
            Some(block) if block.name == name => {}
            Some(Open { name, line: from, .. }) => {
                return fault(line, format!("`{word}`, where `{name}` of line {from} is open"));
            }
            None => return fault(line, format!("`{word}` without its beginning")),
        }
        Ok(match name {
            "generation" => "{% endwith %}".to_owned(),
            _ => format!("{{% {word} %}}"),
        })
    }

    fn assignment(&mut self, parser: &mut Parser<'_>) -> Parsed<String> {
        let mut targets = vec![target(parser)?];
        while parser.take(",") {
            if parser.is("=") {
                break;
            }
            targets.push(target(parser)?);
        }
        let names: Vec<&str> = targets.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        if parser.take("=") {
            let value = parser.tuple()?;
            let held = targets.iter().any(|(_, attribute)| *attribute);
            let value = parser.call(if held { "held" } else { "kept" }, &[value])?;
            return Ok(format!("{{% set {names} = {} %}}", value.text));
        }
        if targets.len() > 1 {
            return parser.unexpected("`=`");
        }
        self.opens("set", parser.line())?;
        if parser.take("|") {
            return Ok(format!("{{% set {names} | {} %}}", filters(parser)?));
        }
        Ok(format!("{{% set {names} %}}"))
    }
}

/// What `set` assigns to, and whether it is an attribute of a namespace.
fn target(parser: &mut Parser<'_>) -> Parsed<(String, bool)> {
    let name = parser.name()?;
    if parser.take(".") {
        return Ok((format!("{name}.{}", parser.name()?), true));
    }
    Ok((name.to_owned(), false))
}

/// `for` with its targets, what it walks over, and its filter.
fn looped(parser: &mut Parser<'_>) -> Parsed<String> {
    let targets = loop_targets(parser)?;
    parser.expect("in")?;
    let over = parser.iterable()?;
    let over = parser.call("walked", &[over])?;
    let mut text = format!("{{% for {targets} in {}", over.text);
    if parser.take("if") {
        text.push_str(&format!(" if {}", parser.expression()?.text));
    }
    if parser.take("recursive") {
        text.push_str(" recursive");
    }
    Ok(text + " %}")
}

fn loop_targets(parser: &mut Parser<'_>) -> Parsed<String> {
    let mut names = Vec::new();
    loop {
        if parser.take("(") {
            let inner = parser.nested(loop_targets)?;
            parser.expect(")")?;
            names.push(format!("({inner})"));
        } else {
            names.push(parser.name()?.to_owned());
        }
        if !parser.take(",") || parser.is("in") || parser.is(")") {
            return Ok(names.join(", "));
        }
    }
}

/// `with` and its assignments.
fn scope(parser: &mut Parser<'_>) -> Parsed<String> {
    let mut parts = Vec::new();
    while !parser.at_end() {
        if !parts.is_empty() {
            parser.expect(",")?;
        }
        let name = parser.name()?;
        parser.expect("=")?;
        let value = parser.expression()?;
        parts.push(format!("{name} = {}", parser.call("kept", &[value])?.text));
    }
    Ok(format!("{{% with {} %}}", parts.join(", ")))
}

/// The parameters of a macro, and the tags that check what they are given.
fn parameters(parser: &mut Parser<'_>) -> Parsed<(String, String)> {
    parser.expect("(")?;
    let (mut names, mut kept) = (Vec::new(), String::new());
    while !parser.take(")") {
        if !names.is_empty() {
            parser.expect(",")?;
            if parser.take(")") {
                break;
            }
        }
        let name = parser.name()?;
        kept.push_str(&format!("{{% set {name} = {} %}}", kept_name(parser, name)?.text));
        names.push(match parser.take("=") {
            true => format!("{name}={}", parser.expression()?.text),
            false => name.to_owned(),
        });
    }
    Ok((names.join(", "), kept))
}

fn kept_name(parser: &Parser<'_>, name: &str) -> Parsed<Code> {
    parser.call("kept", &[Code::leaf(name)])
}

/// A chain of filters.
fn filters(parser: &mut Parser<'_>) -> Parsed<String> {
    let mut filters = vec![parser.filter()?];
    while parser.take("|") {
        filters.push(parser.filter()?);
    }
    if filters.len() > MOST_BLOCKS {
        return fault(parser.line(), format!("more than {MOST_BLOCKS} filters in a row"));
    }
    Ok(joined(&filters, " | "))
}
