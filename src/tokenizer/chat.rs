//! Conversations to text, by the model's chat template, and to tokens that no message can forge.

use std::path::PathBuf;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, Value, context};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::encoding::Tokenizer;
use crate::error::{Error, Result};

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions for the conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Message {
    /// The author.
    pub role: Role,
    /// The text.
    pub content: String,
}

/// A chat template: Jinja as `transformers` runs it.
///
/// Blocks swallow the newline after them and the whitespace before them; Python's methods of
/// strings, lists and maps work, and so do `raise_exception`, `strftime_now`, `bos_token`,
/// `eos_token` and `add_generation_prompt`, which is always set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatTemplate {
    /// The file that it comes from, for errors.
    pub path: PathBuf,
    /// The template.
    pub source: String,
    /// The name of the token that begins a text.
    pub bos: Option<String>,
    /// The name of the token that ends a text.
    pub eos: Option<String>,
}

/// Steps that a template may take: more than a conversation needs, but less than a second.
const FUEL: u64 = 10_000_000;

impl ChatTemplate {
    /// The conversation as text, up to where the model's answer begins.
    ///
    /// # Errors
    /// [`Error::File`] if the template is invalid, does not terminate, or rejects the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        self.render_to(messages, End::Prompt)
    }

    fn render_to(&self, messages: &[Message], end: End) -> Result<String> {
        let mut environment = Environment::new();
        let damaged =
            |error: minijinja::Error| Error::file(&self.path, format!("chat template: {error}"));
        let blocks = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(blocks.map_err(damaged)?);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        let source = without_generation_tags(&self.source);
        let values = context! {
            messages => Value::from(Serde(messages)),
            tools => (),
            documents => (),
            add_generation_prompt => end == End::Prompt,
            bos_token => self.bos.as_deref().unwrap_or_default(),
            eos_token => self.eos.as_deref().unwrap_or_default(),
        };
        environment.render_str(&source, values).map_err(|error| {
            let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
            let reason = match (error.kind(), error.line()) {
                (ErrorKind::InvalidOperation, _) | (_, None) => reason,
                (_, Some(line)) => format!("line {line}: {reason}"),
            };
            Error::file(&self.path, format!("chat template: {reason}"))
        })
    }
}

/// Where the text of a conversation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Where the model's next answer begins.
    Prompt,
    /// After the last message.
    Message,
}

/// The function that a template calls to reject a conversation.
fn raise_exception(reason: &str) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, reason.to_owned()))
}

/// The local time, as Python's `strftime` writes it.
fn strftime_now(format: &str) -> Result<String, minijinja::Error> {
    jiff::fmt::strtime::format(format, &jiff::ZonedDateTime::now())
        .map_err(|error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string()))
}

/// The template without the tags that mark the model's messages for training.
fn without_generation_tags(source: &str) -> String {
    let mut text = source.to_owned();
    for (tag, plain) in [("generation", "if true"), ("endgeneration", "endif")] {
        for (open, close) in [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}")] {
            let instead = format!("{open} {plain} {close}");
            text = text.replace(&format!("{open} {tag} {close}"), &instead);
        }
    }
    text
}

impl Tokenizer {
    /// The tokens of a conversation, up to where the model's answer begins; nothing is added before
    /// the output of the template.
    ///
    /// Special tokens are recognised only where the template writes them: a message that spells the
    /// name of one remains text, so that it cannot end its turn or open another. For this, a
    /// character that no message contains is inserted into each such name before the template runs,
    /// and removed after the special tokens have been cut from the result. The names are those of
    /// special tokens, and of other added tokens that the template uses for its turns.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn encode_chat(&self, template: &ChatTemplate, messages: &[Message]) -> Result<Vec<u32>> {
        self.encode_chat_to(template, messages, End::Prompt)
    }

    /// The same up to another end.
    pub(super) fn encode_chat_to(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        end: End,
    ) -> Result<Vec<u32>> {
        let mark = ('\u{fdd0}'..='\u{fdef}')
            .find(|mark| !messages.iter().any(|message| message.content.contains(*mark)))
            .ok_or_else(|| {
                Error::Input(
                    "the messages contain all of the noncharacters U+FDD0 to U+FDEF".to_owned(),
                )
            })?;
        let names = self.turn_names(template, messages);
        let with = |content: String, message: &Message| Message { content, role: message.role };
        let guarded: Vec<Message> = messages
            .iter()
            .map(|message| with(guarded(&message.content, &names, mark), message))
            .collect();
        self.encode_marked(&template.render_to(&guarded, end)?, mark)
    }

    /// The names of tokens that must not be recognised in a message.
    fn turn_names(&self, template: &ChatTemplate, messages: &[Message]) -> Vec<String> {
        let empty = |message: &Message| Message { role: message.role, content: "x".to_owned() };
        // If the template rejects this, it will report so for the real messages.
        let frame = messages.iter().map(empty).collect::<Vec<_>>();
        let frame = template.render(&frame).unwrap_or_default();
        let added = self.added_tokens();
        let names = added.filter(|(name, special)| {
            *special || (!name.trim().is_empty() && frame.contains(name.as_str()))
        });
        names.map(|(name, _)| name).collect()
    }
}

/// A message in which no name of a token is complete, nor could be completed by what the template
/// writes around it, after it has trimmed whitespace.
fn guarded(content: &str, names: &[String], mark: char) -> String {
    let within = |at: usize| names.iter().any(|name| content[at..].starts_with(name.as_str()));
    let cut =
        |name: &str| name.char_indices().skip(1).map(|(at, _)| at).collect::<Vec<_>>().into_iter();
    let (start, end) = (content.len() - content.trim_start().len(), content.trim_end().len());
    let ends_one = |name: &String| cut(name).any(|at| content[start..].starts_with(&name[at..]));
    let begins_one = |name: &String| cut(name).any(|at| content[..end].ends_with(&name[..at]));
    let mut text = String::with_capacity(content.len());
    for (at, char) in content.char_indices() {
        if at == start && names.iter().any(ends_one) {
            text.push(mark);
        }
        text.push(char);
        if within(at) || (at + char.len_utf8() == end && names.iter().any(begins_one)) {
            text.push(mark);
        }
    }
    text
}
