//! A template, read within bounds and written anew for the engine.
//!
//! The result has tags only: texts are printed as strings, so that nothing in them can be taken for
//! a tag, and whitespace is as it must be already. Whatever is stored passes through `kept`
//! (`keep.rs`), which refuses what is nested too deep: at `set`, at `with`, and where a macro
//! begins.

use super::idle;
use super::lexer::{self, Parsed, Part, Tag, fault};
use super::reading::{Code, OURS, Parser, joined, literal};

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
    let parts = lexer::parts(source)?;
    let idle = idle::ends(&parts);
    for (at, part) in parts.iter().enumerate() {
        if idle.contains(&at) {
            writer.text.push_str("{% else %}{% break %}");
        }
        match part {
            Part::Text(text) if text.is_empty() => {}
            Part::Text(text) => writer.text.push_str(&format!("{{{{ {} }}}}", literal(text))),
            Part::Print(tag) => {
                let mut parser = Parser::new(tag);
                let value = parser.tuple()?;
                parser.end()?;
                writer.tag(tag.line, &format!("{{{{ {} }}}}", value.text));
            }
            Part::Block(tag) => writer.block(tag)?,
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
    /// What follows its end.
    after: String,
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
        self.open.push(Open { name, line, branches: 0, after: String::new() });
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
        let after = match self.open.pop() {
            Some(block) if block.name == name => block.after,
            Some(Open { name, line: from, .. }) => {
                return fault(line, format!("`{word}`, where `{name}` of line {from} is open"));
            }
            None => return fault(line, format!("`{word}` without its beginning")),
        };
        let word = if name == "generation" { "endwith" } else { word };
        Ok(format!("{{% {word} %}}{after}"))
    }

    fn assignment(&mut self, parser: &mut Parser<'_>) -> Parsed<String> {
        let mut targets = vec![target(parser)?];
        while parser.take(",") {
            if parser.is("=") {
                break;
            }
            targets.push(target(parser)?);
        }
        // An attribute is set by a call of ours, from a variable where more than that is set.
        let (mut names, mut after) = (Vec::new(), String::new());
        for (at, (name, attribute)) in targets.iter().enumerate() {
            let Some(attribute) = attribute else {
                names.push(name.clone());
                continue;
            };
            let from = format!("{OURS}{at}");
            let args = format!("{name}, {}, {from}", literal(attribute));
            after.push_str(&format!("{{% do {OURS}assign({args}) %}}"));
            names.push(from);
        }
        let names = names.join(", ");
        if parser.take("=") {
            let value = parser.tuple()?;
            if let [(name, Some(attribute))] = &targets[..] {
                return Ok(attribute_set(name, attribute, &value.text));
            }
            let value = parser.call("kept", &[value])?;
            return Ok(format!("{{% set {names} = {} %}}{after}", value.text));
        }
        if targets.len() > 1 {
            return parser.unexpected("`=`");
        }
        self.opens("set", parser.line())?;
        if let Some(block) = self.open.last_mut() {
            block.after = after;
        }
        if parser.take("|") {
            return Ok(format!("{{% set {names} | {} %}}", filters(parser)?));
        }
        Ok(format!("{{% set {names} %}}"))
    }
}

/// Sets an attribute of a namespace; one that is set to itself and more grows.
fn attribute_set(name: &str, attribute: &str, value: &str) -> String {
    let quoted = literal(attribute);
    for (call, sign) in [("text", "~"), ("calculate", "")] {
        let start = format!("{OURS}{call}({name}.{attribute}, ");
        let Some(rest) = value.strip_prefix(&start) else { continue };
        let sign = if sign.is_empty() { String::new() } else { format!("{}, ", literal(sign)) };
        let mark = format!("{OURS}mark({name}, {quoted})");
        return format!("{{% do {OURS}grow({name}, {quoted}, {mark}, {sign}{rest} %}}");
    }
    format!("{{% do {OURS}assign({name}, {quoted}, {value}) %}}")
}

/// What `set` assigns to: a variable, or a namespace and its attribute.
fn target(parser: &mut Parser<'_>) -> Parsed<(String, Option<String>)> {
    let name = parser.name()?.to_owned();
    let attribute = match parser.take(".") {
        true => Some(parser.name()?.to_owned()),
        false => None,
    };
    Ok((name, attribute))
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
