//! The engine, and what a template finds in it.

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, context};

use super::compare::{compare, new_key};
use super::filters;
use super::keep::{MEMORY, Memory, is_map, kept, made, pairs, pay, refused, walkable};
use super::lazy::{counted, range};
use super::lexer::Fault;
use super::namespace::{assign, grow, mark, namespace};
use super::operators;
use super::plain::ALIASES;
use super::reading::OURS;
use super::statement::rewritten;
use super::{methods, text};
use crate::tokenizer::alias::Aliases;

/// The memory and output that a template may take, in bytes. The fuzzer allows less, and asks for as much
/// less time, so that it sees more templates.
const BYTES: usize = if cfg!(fuzzing) { 1 << 20 } else { 32 << 20 };

/// What a byte of the conversation adds to that: templates copy messages several times.
const BYTES_PER_BYTE: usize = 64;

/// The most that a long conversation allows.
const MOST_BYTES: usize = 128 << 20;

/// The engine's measure of work on a byte; a step is as much as 64 bytes.
const BYTES_PER_STEP: usize = 64;

/// The steps that a template may take for the memory that it may take.
const STEPS: usize = BYTES / BYTES_PER_STEP;

/// What a byte of the conversation adds: there are templates that look at each character for pictures.
const STEPS_PER_BYTE: usize = 40;

/// What a message adds.
const STEPS_PER_MESSAGE: usize = 400;

/// The most steps that a long conversation allows: a few seconds.
const MOST_STEPS: usize = 64 << 20;

/// The frames that may be open: about 40 macros in each other.
const MOST_FRAMES: usize = 250;

/// The most characters of a reason that a template gives.
const MOST_REASON: usize = 500;

/// What a template is given.
#[derive(Debug)]
pub(in crate::tokenizer) struct Conversation<'a> {
    /// The messages.
    pub(in crate::tokenizer) messages: Value,
    /// The length of their texts.
    pub(in crate::tokenizer) bytes: usize,
    /// The name of the token that begins a text.
    pub(in crate::tokenizer) bos: &'a str,
    /// The name of the token that ends a text.
    pub(in crate::tokenizer) eos: &'a str,
    /// Other variables.
    pub(in crate::tokenizer) arguments: Vec<(String, Value)>,
    /// The characters that stand for others.
    pub(in crate::tokenizer) aliases: Option<Aliases>,
    /// Whether the text ends where the model's answer begins, rather than after the last message.
    pub(in crate::tokenizer) asks: bool,
}

/// Runs a template; the error is a sentence.
pub(in crate::tokenizer) fn render(
    source: &str,
    conversation: Conversation<'_>,
) -> Result<String, String> {
    let source = rewritten(source).map_err(|Fault { line, reason }| match line {
        0 => reason,
        line => format!("line {line}: {reason}"),
    })?;
    let Conversation { messages, bytes, bos, eos, arguments, aliases, asks } = conversation;
    let count = messages.len().unwrap_or(0);
    let given = context! {
        messages => messages,
        tools => (),
        documents => (),
        add_generation_prompt => asks,
        bos_token => bos,
        eos_token => eos,
    };
    let given = context! { ..Value::from_pairs(arguments), ..given };
    let memory = BYTES.saturating_add(bytes.saturating_mul(BYTES_PER_BYTE)).min(MOST_BYTES);
    let steps = STEPS
        .saturating_add(bytes.saturating_mul(STEPS_PER_BYTE))
        .saturating_add(count.saturating_mul(STEPS_PER_MESSAGE))
        .min(MOST_STEPS);
    let rendered = environment(memory, steps, aliases).render_str(&source, given);
    rendered.map_err(|error| sentence(error, memory, steps))
}

fn sentence(error: Error, memory: usize, steps: usize) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        let memory = memory >> 20;
        let steps = match steps >> 20 {
            0 => "that many steps".to_owned(),
            millions => format!("{millions} million steps"),
        };
        return format!("it takes more than {memory} MB of memory and output, or {steps}");
    }
    let raised = std::error::Error::source(&error).is_some_and(|source| source.is::<Raised>());
    let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    let reason = match reason.char_indices().nth(MOST_REASON) {
        Some((end, _)) => format!("{}...", &reason[..end]),
        None => reason,
    };
    match error.line() {
        Some(line) if !raised => format!("line {line}: {reason}"),
        _ => reason,
    }
}

fn environment(memory: usize, steps: usize, aliases: Option<Aliases>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(steps as u64));
    environment.add_global(MEMORY, Memory::of(memory));
    environment.set_recursion_limit(MOST_FRAMES);
    environment.set_formatter(text::print);
    environment.remove_global("debug");
    environment.add_function("namespace", namespace);
    environment.add_function("dict", dict);
    environment.add_function("range", range);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    let ours = |name: &str| format!("{OURS}{name}");
    environment.add_function(ours("kept"), kept);
    environment.add_function(ours("assign"), assign);
    environment.add_function(ours("mark"), mark);
    environment.add_function(ours("grow"), grow);
    environment.add_function(ours("walked"), walked);
    environment.add_function(ours("text"), operators::concat);
    environment.add_function(ours("calculate"), operators::calculate);
    environment.add_function(ours("negative"), operators::negative);
    environment.add_function(ours("compare"), compare);
    environment.add_function(ours("key"), new_key);
    environment.add_function(ours("item"), methods::item);
    environment.add_function(ours("slice"), methods::slice);
    environment.add_function(ours("attribute"), methods::attribute);
    environment.add_function(ours("method"), methods::method);
    if let Some(aliases) = aliases {
        environment.add_global(ALIASES, Value::from(aliases.base()));
    }
    filters::register(&mut environment);
    environment
}

/// What a loop walks over.
fn walked(state: &State, value: Value) -> Result<Value, Error> {
    walkable(&value)?;
    // The engine counts the characters of a text.
    pay(state, value.as_str().map_or(0, str::len))?;
    // A loop knows how many items there are.
    counted(state, value)
}

/// The function `dict`: of a map or of pairs, and of names.
fn dict(state: &State, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let given = given.into_values();
    let unnamed = given.iter().filter(|given| !given.is_kwargs()).count();
    if unnamed > 1 {
        return Err(refused(format!("dict of {unnamed} values")));
    }
    let mut entries = Vec::new();
    for given in &given {
        walkable(given)?;
        for (key, value) in pairs(given)? {
            made(state, 64)?;
            let (key, value) = match is_map(given) {
                true => (key, value),
                false => {
                    let mut parts = value.try_iter()?;
                    match (parts.next(), parts.next(), parts.next()) {
                        (Some(key), Some(value), None) => (key, value),
                        _ => return Err(refused("dict of items that are not pairs")),
                    }
                }
            };
            entries.push((new_key(state, &key)?, value));
        }
    }
    Ok(Value::from_pairs(entries))
}

/// Marks the error that a template made by itself, which says what it wants to.
#[derive(Debug)]
struct Raised;

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("raised by the template")
    }
}

impl std::error::Error for Raised {}

/// The function that a template calls to reject a conversation.
fn raise_exception(state: &State, reason: &Value) -> Result<Value, Error> {
    Err(refused(text::text(state, reason)?).with_source(Raised))
}

/// The local time, as Python's `strftime` writes it.
fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    // The longest directives write names and dates of a few dozen letters.
    made(state, format.len().saturating_mul(32))?;
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now())
        .map_err(|error| refused(error.to_string()))
}
