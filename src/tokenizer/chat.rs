//! Conversations to text, by the model's chat template, and to tokens that no message can forge.

use std::path::PathBuf;

use minijinja::Value;

use super::alias::Aliases;
use super::arguments::TemplateArguments;
use super::encoding::Tokenizer;
use super::guard::Guard;
use super::jinja;
use super::names::Names;
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
/// Blocks swallow the newline after them and the whitespace before them; values follow Python, and so
/// do the methods of strings, lists and maps. `raise_exception`, `strftime_now`, `bos_token`,
/// `eos_token` and `add_generation_prompt`, which is always set, are there too.
///
/// A template is a stranger's program, so it runs within bounds: it has at most 256 KiB, its work
/// takes at most 32 MB of memory and output and half a million steps (64 bytes and 40 steps more for
/// each byte of a conversation, and 400 steps for each message, up to 128 MB and 64 million), and it can make no value that is nested deeper than 64 or holds itself.
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
    /// What the template is told besides the conversation.
    pub arguments: TemplateArguments,
}

impl Message {
    /// What a template finds.
    fn value(&self) -> Value {
        let role = match self.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        Value::from_pairs([("role", role), ("content", self.content.as_str())])
    }
}

impl ChatTemplate {
    /// The conversation as text, up to where the model's answer begins.
    ///
    /// # Errors
    /// [`Error::File`] if the template is invalid, exceeds its bounds, or rejects the conversation.
    pub fn render(&self, messages: &[Message]) -> Result<String> {
        self.render_to(messages, End::Prompt)
    }

    fn render_to(&self, messages: &[Message], end: End) -> Result<String> {
        self.rendered(messages, end, |text| text.to_owned(), None)
    }

    /// Whether the template has this word anywhere: an argument of a name that it has not is ignored.
    pub fn mentions(&self, name: &str) -> bool {
        let inside = |char: char| char.is_alphanumeric() || char == '_';
        self.source.split(|char| !inside(char)).any(|word| word == name)
    }

    /// The conversation as text, with the texts of the arguments changed, and with aliases.
    fn rendered(
        &self,
        messages: &[Message],
        end: End,
        text: impl Fn(&str) -> String,
        aliases: Option<Aliases>,
    ) -> Result<String> {
        let conversation = jinja::Conversation {
            messages: messages.iter().map(Message::value).collect(),
            bytes: messages.iter().map(|message| message.content.len()).sum(),
            bos: self.bos.as_deref().unwrap_or_default(),
            eos: self.eos.as_deref().unwrap_or_default(),
            arguments: self.arguments.values(text),
            aliases,
            asks: end == End::Prompt,
        };
        let failed = |reason| Error::file(&self.path, format!("chat template: {reason}"));
        jinja::render(&self.source, conversation).map_err(failed)
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

impl Tokenizer {
    /// The tokens of a conversation, up to where the model's answer begins; nothing is added before
    /// the output of the template.
    ///
    /// Special tokens are recognized only where the template writes them, and in what the model said:
    /// a message of the user or the system, or an argument of the template, that spells the name of
    /// one remains text, so that it cannot end its turn or open another. The names are those of
    /// special tokens, and of other added tokens that the template uses for its turns; these remain
    /// text in the model's messages too.
    ///
    /// For this, characters that names begin and end with are replaced before the template runs by others
    /// that stand for them, and restored after the special tokens have been cut from the result: a name
    /// that the template makes of what was typed, by lowering its letters or by joining its parts, is
    /// text as well. Should the template do something else because of it, only names as they were typed
    /// are kept from being tokens; and if that makes it do something else too, its result without such
    /// characters counts where the two differ, and no name in that part is a token.
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
        let ids = self.encode_turns(template, messages, end)?;
        let begin = template.bos.as_ref().and_then(|name| self.id(name));
        self.tell_two_beginnings(&ids, begin.as_slice(), |name| {
            format!("{}: the chat template writes {name} twice", template.path.display())
        });
        Ok(ids)
    }

    fn encode_turns(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        end: End,
    ) -> Result<Vec<u32>> {
        let arguments = template.arguments.texts();
        let said = messages.iter().map(|message| message.content.as_str());
        let texts = said.chain(arguments.iter().map(String::as_str));
        let texts = texts.chain([template.source.as_str()]);
        let aliases = Aliases::not_in(texts).ok_or_else(|| {
            Error::Input("the messages contain characters of all private planes".to_owned())
        })?;
        // First, so that a template that fails does so once.
        let plain = template.render_to(messages, end)?;
        let (typed, written) = self.names(template, messages);
        let typed = Guard::new(&typed, aliases);
        let written = Guard::new(&written, aliases);
        let rendered = |typed_text: &dyn Fn(&str) -> String| {
            let guarded = |Message { role, content }: &Message| {
                let content = match role {
                    Role::Assistant => written.text(content),
                    _ => typed_text(content),
                };
                Message { role: *role, content }
            };
            let guarded: Vec<Message> = messages.iter().map(guarded).collect();
            let text = template.rendered(&guarded, end, |text| typed.text(text), Some(aliases));
            text.unwrap_or_default()
        };
        // A template may spell names with what was typed: it may lower letters, or cut and join.
        let text = rendered(&|content| typed.traced(content));
        if aliases.plain(&text) == plain {
            return self.encode_aliased(&typed.spelled(&text), aliases);
        }
        let text = rendered(&|content| typed.text(content));
        let shown = aliases.plain(&text);
        if shown == plain {
            return self.encode_aliased(&text, aliases);
        }
        let merged = typed.merged(&plain, &text);
        if merged != plain {
            log::warn!(
                "{}: the output of the chat template depends on names of tokens in a message; they are \
                 treated as text",
                template.path.display()
            );
        }
        self.encode_aliased(&merged, aliases)
    }

    /// The names of tokens that must not be recognized in what was typed, and those among them that
    /// the template writes by itself.
    fn names(&self, template: &ChatTemplate, messages: &[Message]) -> (Vec<String>, Vec<String>) {
        let empty = |message: &Message| Message { role: message.role, content: "x".to_owned() };
        // If the template rejects this, it will report so for the real messages.
        let frame = messages.iter().map(empty).collect::<Vec<_>>();
        let frame = template.render(&frame).unwrap_or_default();
        let (mut names, special): (Vec<String>, Vec<bool>) = self.added_tokens().unzip();
        let mut written = Names::new(&names).within(&frame);
        written.retain(|name| !name.trim().is_empty());
        let mut special = special.into_iter();
        names.retain(|name| special.next() == Some(true) || written.contains(name.as_str()));
        (names, written.into_iter().map(str::to_owned).collect())
    }
}
