//! Texts to learn from, as tokens: those that every other use of the same text makes.
//!
//! A text may hold several documents with the name of the token that ends a text between them. Each
//! is encoded as it would be alone: with the tokens that the tokenizer puts before a text, since the
//! model will find those in use.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use super::alias::{Aliases, Disguise};
use super::chat::{ChatTemplate, End, Message, Role};
use super::encoding::{Bos, Encode, Special, Tokenizer};
use super::json::kind;
use crate::error::{Error, Result};

/// Which names of special tokens count as such in a text to learn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// The name of the token that ends a text. It parts documents.
    #[default]
    End,
    /// All.
    All,
    /// None: they are text, and the text is one document.
    None,
}

/// A text to learn from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// The tokens of all documents.
    pub ids: Vec<u32>,
    /// How many documents there are.
    pub count: usize,
    /// How often each special token that its name stood for was found.
    pub found: BTreeMap<String, usize>,
    /// How often the name of a special token stands in the text and counts as text.
    pub as_text: BTreeMap<String, usize>,
}

/// A conversation to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// The answers: from where the model begins to write, up to the end of its message.
    pub answers: Vec<Range<usize>>,
}

/// Names of the token that ends a text, the most common first.
const ENDS: [&str; 6] =
    ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<｜end▁of▁sentence｜>"];

impl Tokenizer {
    /// The special token that ends a text, if it has one of the usual names.
    pub fn end_of_text(&self) -> Option<u32> {
        ENDS.iter().find_map(|name| self.id(name).filter(|id| self.is_special(*id)))
    }

    /// Whether a token is a special one, which no text spells.
    pub fn is_special(&self, id: u32) -> bool {
        let added = self.0.pipeline.added.get_added_tokens_decoder();
        added.get(&id).is_some_and(|token| token.special)
    }

    /// Encodes a text to learn from; `end` is the token that ends a document.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_documents(
        &self,
        text: &str,
        names: Names,
        end: Option<u32>,
    ) -> Result<Documents> {
        let added = self.0.pipeline.added.get_added_tokens_decoder();
        let special: BTreeMap<u32, &str> = added
            .iter()
            .filter(|(_, token)| token.special && text.contains(token.content.as_str()))
            .map(|(id, token)| (*id, token.content.as_str()))
            .collect();
        let end = end.filter(|_| names != Names::None);
        let ends = end.and_then(|end| special.get(&end).copied());
        let own = |id: &u32| names == Names::All || names == Names::End && Some(*id) == end;
        let (known, others): (Vec<_>, Vec<_>) = special.iter().partition(|(id, _)| own(id));
        let [known, others] =
            [known, others].map(|all| all.iter().map(|(_, name)| **name).collect::<Vec<_>>());
        let mut documents = Documents::default();
        let swallows = end.and_then(|end| added.get(&end)).is_some_and(|token| token.rstrip);
        let parts: Vec<&str> = match ends {
            Some(name) => text.split_inclusive(name).collect(),
            None => vec![text],
        };
        for (index, part) in parts.into_iter().enumerate() {
            let part = if index > 0 && swallows { part.trim_start() } else { part };
            let ids = self.encode_part(part, &known, &others)?;
            for id in &ids {
                if let Some(name) = special.get(id) {
                    *documents.found.entry((*name).to_owned()).or_default() += 1;
                }
            }
            for name in &others {
                let count = part.matches(name).count();
                if count > 0 {
                    *documents.as_text.entry((*name).to_owned()).or_default() += count;
                }
            }
            // A line break after the last document is none.
            if !part.trim().is_empty() {
                documents.count += 1;
                if !ids.starts_with(self.opening()) {
                    documents.ids.extend(self.opening());
                }
            }
            documents.ids.extend(ids);
        }
        Ok(documents)
    }

    /// The tokens of a part of a text in which the names `known` count and `others` are text.
    fn encode_part(&self, text: &str, known: &[&str], others: &[&str]) -> Result<Vec<u32>> {
        let plain = Encode { bos: Bos::Never, special: Special::AsText };
        if known.is_empty() {
            return self.encode(text, plain);
        }
        if !others.iter().any(|name| text.contains(name)) {
            return self.encode(text, Encode { special: Special::Recognize, ..plain });
        }
        let aliases = Aliases::not_in(std::iter::once(text)).ok_or_else(|| {
            Error::Input("the text contains characters of all private planes".to_owned())
        })?;
        let (mut parts, mut at) = (Vec::new(), 0);
        while let Some(char) = text[at..].chars().next() {
            let starts = |name: &&&str| text[at..].starts_with(**name);
            // The longest name wins, as it does when special tokens are cut out.
            let [own, other] =
                [known, others].map(|names| names.iter().filter(starts).map(|n| n.len()).max());
            match other {
                Some(length) if other > own => {
                    let part = at..at + length;
                    parts.push(Disguise { part, mark: at + char.len_utf8() });
                    at += char.len_utf8();
                }
                _ => at += own.unwrap_or(char.len_utf8()),
            }
        }
        self.encode_aliased(&aliases.disguised(text, &parts), aliases)
    }

    /// Encodes a conversation to learn from: its tokens are those that the model will find in use, and
    /// what it is to write are the answers, each up to one of the tokens `ends`. Where the template rewrites earlier messages, so that no
    /// text holds all answers as they are written, each answer has a text of its own.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_chat`].
    pub fn encode_talk(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        ends: &[u32],
    ) -> Result<Vec<Talk>> {
        let mut talks: Vec<Talk> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let prompt = self.encode_chat(template, &messages[..index])?;
            let mut ids = self.encode_chat_to(template, &messages[..=index], End::Message)?;
            let start = prompt.iter().zip(&ids).take_while(|(a, b)| a == b).count();
            // What the template writes after the end of an answer, the model never writes.
            let last = ids[start..].iter().rposition(|id| ends.contains(id));
            ids.truncate(last.map_or(ids.len(), |last| start + last + 1));
            let answer = start..ids.len();
            match talks.last_mut() {
                Some(talk) if ids.starts_with(&talk.ids) => {
                    talk.ids = ids;
                    talk.answers.push(answer);
                }
                _ => talks.push(Talk { ids, answers: vec![answer] }),
            }
        }
        Ok(talks)
    }
}

/// The text of a tokenizer.json that puts no token before a text, and else does the same.
///
/// # Errors
/// [`Error::File`] if it is not JSON.
pub fn without_opening(path: &Path, text: &str) -> Result<String> {
    let mut file: Value = serde_json::from_str(text)
        .map_err(|error| Error::file(path, format!("not valid JSON: {error}")))?;
    if let Some(processor) = file.get_mut("post_processor") {
        close(processor);
    }
    Ok(format!("{file:#}\n"))
}

/// Takes the tokens before a text out of a post-processor.
fn close(processor: &mut Value) {
    match kind(processor) {
        "TemplateProcessing" => {
            for form in ["single", "pair"] {
                if let Some(places) = processor[form].as_array_mut() {
                    let first = places.iter().position(|place| place.get("SpecialToken").is_none());
                    places.drain(..first.unwrap_or(0));
                }
            }
        }
        // These always put one before a text.
        "BertProcessing" | "RobertaProcessing" => *processor = Value::Null,
        "Sequence" => {
            if let Some(parts) = processor["processors"].as_array_mut() {
                parts.iter_mut().for_each(close);
                parts.retain(|part| !part.is_null());
            }
        }
        _ => {}
    }
}
