//! From files to tokens: texts, and JSON lines that hold documents or conversations.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::checkpoint::{Checkpoint, SpecialToken, parse_json};
use crate::error::{Error, Result};
use crate::tokenizer::{ChatTemplate, Message, Names, Role, Tokenizer};

use super::tokens::Tokens;

/// What is learned of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Learn {
    /// The model's answers.
    #[default]
    Answers,
    /// Every token.
    All,
}

/// Reads texts and conversations as the tokens that use will make of them.
#[derive(Debug)]
pub struct Corpus<'a> {
    tokenizer: &'a Tokenizer,
    template: Option<ChatTemplate>,
    /// The token that ends a document.
    end: Option<u32>,
    /// The tokens that end an answer.
    ends: Vec<u32>,
    names: Names,
    learn: Learn,
    found: Found,
}

/// What was found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Documents.
    pub documents: usize,
    /// Conversations.
    pub conversations: usize,
    /// How often each special token was found by its name in a text.
    pub special: BTreeMap<String, usize>,
    /// How often the name of a special token counts as text.
    pub as_text: BTreeMap<String, usize>,
    /// How often each field of JSON that has no meaning here was found.
    pub unknown: BTreeMap<String, usize>,
    /// Lines without text, and conversations without an answer: nothing is learned from these.
    pub empty: usize,
    /// Answers after which the template writes no token that ends a text.
    pub endless: usize,
    /// Documents of JSON lines that no token parts from the next, since the tokenizer has none.
    pub unparted: usize,
}

impl<'a> Corpus<'a> {
    /// For a tokenizer; `names` says which names of special tokens count in a text.
    pub fn new(tokenizer: &'a Tokenizer, names: Names, learn: Learn) -> Self {
        let end = tokenizer.end_of_text();
        let (template, ends, found) = (None, end.into_iter().collect(), Found::default());
        Self { tokenizer, template, end, ends, names, learn, found }
    }

    /// For a model with its tokenizer: what ends a text, and the chat template, are the model's own.
    ///
    /// # Errors
    /// Those of reading the names of its special tokens.
    pub fn of(
        checkpoint: &Checkpoint,
        tokenizer: &'a Tokenizer,
        names: Names,
        learn: Learn,
    ) -> Result<Self> {
        let mut corpus = Self::new(tokenizer, names, learn);
        corpus.template = ChatTemplate::from_checkpoint(checkpoint, tokenizer)?;
        let named = match checkpoint.special_tokens()?.eos {
            Some(SpecialToken::Id(id)) => Some(id),
            Some(SpecialToken::Text(name)) => tokenizer.id(&name),
            None => None,
        };
        corpus.ends.extend(tokenizer.ends(checkpoint)?.into_iter().chain(named));
        // An id that the tokenizer does not have is not the model's own, but its family's default.
        corpus.ends.retain(|id| tokenizer.token(*id).is_some());
        corpus.end = corpus.end.or(named).or(corpus.ends.first().copied());
        Ok(corpus)
    }

    /// What was found so far.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// The tokens of a text, which holds a document, or several with the token that ends a text
    /// between them.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_documents`].
    pub fn text(&mut self, text: &str) -> Result<Tokens> {
        let documents = self.tokenizer.encode_documents(text, self.names, self.end)?;
        self.found.documents += documents.count;
        for (all, more) in [
            (&mut self.found.special, documents.found),
            (&mut self.found.as_text, documents.as_text),
        ] {
            more.into_iter().for_each(|(name, count)| *all.entry(name).or_default() += count);
        }
        Ok(documents.ids.into())
    }

    /// The tokens of JSON lines. Each is an object with a `text`, a document, or with `messages`, a
    /// conversation of objects with a `role` and a `content`.
    ///
    /// # Errors
    /// [`Error::File`], with the line.
    pub fn lines(&mut self, path: &Path, text: &str) -> Result<Tokens> {
        let mut all = Tokens::default();
        for (line, number) in lines(text) {
            let wrong = |reason: &str| Error::file(path, format!("line {number}: {reason}"));
            let object = parse_json(line)
                .map_err(|error| wrong(&format!("is not a JSON object: {error}")))?;
            let told = |error: Error| match error {
                Error::File { path: own, reason } if own == path => wrong(&reason),
                other => wrong(&other.fault()),
            };
            let tokens = match (object.get("text"), object.get("messages")) {
                (Some(Value::String(text)), None) => self.document(text).map_err(told)?,
                (None, Some(Value::Array(messages))) => {
                    let messages = self.messages(messages).map_err(|reason| wrong(&reason))?;
                    self.conversation(&messages).map_err(told)?
                }
                (Some(_), Some(_)) => return Err(wrong("has a \"text\" and \"messages\"")),
                (Some(_), None) => return Err(wrong("its \"text\" is not a string")),
                (None, Some(_)) => return Err(wrong("its \"messages\" are not a list")),
                (None, None) => {
                    return Err(wrong("has neither a \"text\" nor \"messages\""));
                }
            };
            self.unknown(object.keys(), &["text", "messages"]);
            if tokens.is_empty() {
                self.found.empty += 1;
            }
            all.append(tokens);
        }
        Ok(all)
    }

    /// Counts fields that have no meaning here.
    fn unknown<'k>(&mut self, fields: impl Iterator<Item = &'k String>, known: &[&str]) {
        for field in fields.filter(|field| !known.contains(&field.as_str())) {
            *self.found.unknown.entry(field.clone()).or_default() += 1;
        }
    }

    /// The tokens of a document, with the token that ends it.
    fn document(&mut self, text: &str) -> Result<Tokens> {
        if text.trim().is_empty() {
            return Ok(Tokens::default());
        }
        let mut tokens = self.text(text)?;
        match self.end {
            Some(end) if tokens.ids.last() != Some(&end) => tokens.ids.push(end),
            Some(_) => {}
            None => self.found.unparted += 1,
        }
        Ok(tokens)
    }

    /// The messages of a conversation, or why it is none.
    fn messages(&mut self, messages: &[Value]) -> Result<Vec<Message>, String> {
        let mut all = Vec::new();
        for (message, number) in messages.iter().zip(1..) {
            let wrong = |reason: String| format!("message {number} {reason}");
            let object = message.as_object().ok_or_else(|| wrong("is not an object".to_owned()))?;
            let role = match object.get("role").and_then(Value::as_str) {
                Some("system") => Role::System,
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some(other) => {
                    let known = "system, user, assistant";
                    return Err(wrong(format!("has the role {other:?}; there are: {known}")));
                }
                None => return Err(wrong("has no \"role\"".to_owned())),
            };
            let content = object.get("content").and_then(Value::as_str);
            let content = content.ok_or_else(|| wrong("has no text as \"content\"".to_owned()))?;
            all.push(Message { role, content: content.to_owned() });
            self.unknown(object.keys(), &["role", "content"]);
        }
        Ok(all)
    }

    /// The tokens of a conversation; all but the answers are only read.
    fn conversation(&mut self, messages: &[Message]) -> Result<Tokens> {
        let template = self.template.as_ref().ok_or_else(|| {
            Error::Input("is a conversation, but the model has no chat template".to_owned())
        })?;
        let mut all = Tokens::default();
        for talk in self.tokenizer.encode_talk(template, messages, &self.ends)? {
            let mut tokens = Tokens { documents: vec![0], ..talk.ids.into() };
            let mut read = 0;
            for answer in talk.answers {
                let last = tokens.ids[answer.clone()].last();
                self.found.endless += usize::from(last.is_none_or(|id| !self.ends.contains(id)));
                if self.learn == Learn::Answers && read < answer.start {
                    tokens.given.push(read..answer.start);
                }
                read = answer.end;
            }
            all.append(tokens);
        }
        self.found.conversations += usize::from(!all.is_empty());
        Ok(all)
    }
}

/// The texts of JSON lines one after another, for a tokenizer of their characters.
///
/// # Errors
/// [`Error::File`], with the line, if one is no document.
pub fn text_of_lines(path: &Path, text: &str) -> Result<String> {
    let mut all = String::new();
    for (line, number) in lines(text) {
        let object = parse_json(line).map_err(|error| {
            Error::file(path, format!("line {number}: is not a JSON object: {error}"))
        })?;
        let text = object.get("text").and_then(Value::as_str).ok_or_else(|| {
            let reason = "has no \"text\"; a conversation needs a model with a chat template";
            Error::file(path, format!("line {number}: {reason}"))
        })?;
        all.push_str(text);
    }
    Ok(all)
}

/// The lines that are not blank, with their numbers. A mark of the byte order before the first is no part of
/// it.
fn lines(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Kind, TemplateArguments, Training, train_text};

    const END: u32 = 2;

    /// Characters, with tokens for turns and for the end; `<s>` begins a text if that is asked for.
    fn tokenizer(opening: bool) -> Tokenizer {
        let special = ["<s>", "<|im_start|>", "<|endoftext|>", "<|im_end|>"].map(str::to_owned);
        let training = Training { kind: Kind::Characters, special: special.to_vec() };
        let text = train_text("abcdefghijklmnopqrstuvwxyz ABC.,<|>_\n", &training).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        if opening {
            file["post_processor"] = serde_json::json!({
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}
            });
        }
        Tokenizer::from_json_text(Path::new("tokenizer.json"), &file.to_string()).unwrap()
    }

    fn spelled(tokenizer: &Tokenizer, ids: &[u32]) -> String {
        ids.iter().map(|id| tokenizer.token(*id).unwrap()).collect()
    }

    const TURNS: &str = "{% for m in messages %}<|im_start|>{{ m.role[0] }}\n{{ m.content }}\
                         <|endoftext|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>a\n\
                         {% endif %}";

    fn chat(source: &str) -> ChatTemplate {
        let (source, arguments) = (source.to_owned(), TemplateArguments::default());
        ChatTemplate { path: "m".into(), source, bos: None, eos: None, arguments }
    }

    fn with_template<'a>(tokenizer: &'a Tokenizer, source: &str, learn: Learn) -> Corpus<'a> {
        let template = Some(chat(source));
        Corpus { template, ..Corpus::new(tokenizer, Names::End, learn) }
    }

    #[test]
    fn every_token_that_ends_a_turn_elsewhere_ends_one_here() {
        let (checkpoint, tokenizer) = (Checkpoint::built_in().unwrap(), tokenizer(false));
        let corpus = Corpus::of(&checkpoint, &tokenizer, Names::All, Learn::All).unwrap();
        assert!(corpus.ends.contains(&3), "{:?}", corpus.ends);
    }

    #[test]
    fn each_document_begins_and_ends_as_it_does_in_use() {
        let tokenizer = tokenizer(true);
        let mut corpus = Corpus::new(&tokenizer, Names::End, Learn::Answers);
        let text = corpus.text("ab<|endoftext|>c <|im_start|><|endoftext|>\n").unwrap();
        let all = spelled(&tokenizer, &text.ids);
        assert_eq!(all, "<s>ab<|endoftext|><s>c <|im_start|><|endoftext|>\n");
        assert_eq!(text.ids.iter().filter(|id| **id == END).count(), 2);
        assert_eq!(text.ids.iter().filter(|id| **id == 1).count(), 0, "a name that is text");
        let found = corpus.found();
        assert_eq!((found.documents, found.special["<|endoftext|>"]), (2, 2));
        assert_eq!(found.as_text, [("<|im_start|>".to_owned(), 1)].into());
        for (names, specials, documents) in [(Names::All, 3, 2), (Names::None, 0, 1)] {
            let mut corpus = Corpus::new(&tokenizer, names, Learn::Answers);
            let text = corpus.text("ab<|endoftext|>c <|im_start|><|endoftext|>\n").unwrap();
            assert_eq!(text.ids.iter().filter(|id| [1, END].contains(id)).count(), specials);
            assert_eq!(text.ids.iter().filter(|id| **id == 0).count(), documents);
            assert_eq!(corpus.found().special.values().sum::<usize>(), specials);
            assert_eq!(corpus.found().documents, documents);
        }
        let own = Corpus::new(&tokenizer, Names::All, Learn::Answers).text("<s>ab").unwrap();
        assert_eq!(own.ids.iter().filter(|id| **id == 0).count(), 1, "it was there already");
    }

    #[test]
    fn documents_of_json_lines_are_parted() {
        let tokenizer = tokenizer(true);
        let mut corpus = Corpus::new(&tokenizer, Names::End, Learn::Answers);
        let lines = "\u{feff}{\"text\": \"ab\", \"id\": 1}\n\n{\"text\": \" \"}\n\
                     {\"text\": \"c<|endoftext|>\", \"id\": 2}\n";
        let text = corpus.lines(Path::new("x.jsonl"), lines).unwrap();
        assert_eq!(spelled(&tokenizer, &text.ids), "<s>ab<|endoftext|><s>c<|endoftext|>");
        assert!(text.documents.is_empty() && text.given.is_empty());
        let found = corpus.found();
        assert_eq!((found.documents, found.empty, found.unknown["id"]), (2, 1, 2));
    }

    #[test]
    fn of_a_conversation_only_the_answers_are_learned() {
        let tokenizer = tokenizer(false);
        let lines = "{\"messages\": [{\"role\": \"user\", \"content\": \"a<s>\"}, \
                     {\"role\": \"assistant\", \"content\": \"bc\"}, \
                     {\"role\": \"user\", \"content\": \"d\"}, \
                     {\"role\": \"assistant\", \"content\": \"e\", \"weight\": 1}]}\n";
        let mut corpus = with_template(&tokenizer, TURNS, Learn::Answers);
        let text = corpus.lines(Path::new("x.jsonl"), lines).unwrap();
        let golden = "<|im_start|>u\na<s><|endoftext|>\n<|im_start|>a\nbc<|endoftext|>\n\
                      <|im_start|>u\nd<|endoftext|>\n<|im_start|>a\ne<|endoftext|>";
        assert_eq!(spelled(&tokenizer, &text.ids), golden);
        assert!(!text.ids.contains(&0), "what a message spells is text");
        let learned = |tokens: &Tokens| {
            let given = |at: &usize| tokens.given.iter().any(|range| range.contains(at));
            let ids: Vec<u32> =
                (0..tokens.len()).filter(|at| !given(at)).map(|at| tokens.ids[at]).collect();
            spelled(&tokenizer, &ids)
        };
        assert_eq!(learned(&text), "bc<|endoftext|>e<|endoftext|>");
        assert_eq!(text.documents, [0]);
        assert_eq!((corpus.found().conversations, corpus.found().unknown["weight"]), (1, 1));
        let mut all = with_template(&tokenizer, TURNS, Learn::All);
        assert_eq!(learned(&all.lines(Path::new("x"), lines).unwrap()), golden);
        // A template that drops earlier answers: each answer is learned after what it followed.
        let drops = TURNS.replace("{{ m.content }}", "{{ m.content if loop.last else '.' }}");
        let mut corpus = with_template(&tokenizer, &drops, Learn::Answers);
        let text = corpus.lines(Path::new("x.jsonl"), lines).unwrap();
        assert_eq!((text.documents.len(), corpus.found().endless), (2, 0));
        // It also rewrites the question, so the answers begin where the prompt is another.
        assert!(learned(&text).contains("bc<|endoftext|>"), "{}", learned(&text));
        let endless = TURNS.replace("<|endoftext|>", ".");
        let mut corpus = with_template(&tokenizer, &endless, Learn::Answers);
        corpus.lines(Path::new("x.jsonl"), lines).unwrap();
        assert_eq!(corpus.found().endless, 2);
    }

    #[test]
    fn lines_that_are_neither_are_named_and_numbers_nobody_needs_stop_nobody() {
        let tokenizer = tokenizer(false);
        let mut corpus = with_template(&tokenizer, TURNS, Learn::Answers);
        for (line, words) in [
            ("[1]", "line 2: is not a JSON object"),
            ("{\"prompt\": \"a\"}", "line 2: has neither a \"text\" nor \"messages\""),
            ("{\"text\": 1}", "line 2: its \"text\" is not a string"),
            ("{\"text\": \"a\", \"messages\": []}", "line 2: has a \"text\" and \"messages\""),
            (
                "{\"messages\": [{\"role\": \"tool\", \"content\": \"\"}]}",
                "message 1 has the role \"tool\"",
            ),
            ("{\"messages\": [{\"role\": \"user\"}]}", "line 2: message 1 has no text"),
            ("{\"text\": \"Z\"}", "line 2: the vocabulary has no token"),
        ] {
            let text = format!("{{\"text\": \"a\"}}\n{line}\n");
            let error = corpus.lines(Path::new("x.jsonl"), &text).unwrap_err().to_string();
            assert!(error.starts_with("x.jsonl: ") && error.contains(words), "{error}");
        }
        let scored = "{\"text\": \"a\", \"score\": NaN}\n{\"s\": -Infinity, \"text\": \"b\"}";
        let mut corpus = with_template(&tokenizer, TURNS, Learn::Answers);
        let text = corpus.lines(Path::new("x.jsonl"), scored).unwrap();
        assert_eq!(spelled(&tokenizer, &text.ids), "a<|endoftext|>b<|endoftext|>");
        assert_eq!((corpus.found().documents, corpus.found().unknown["score"]), (2, 1));
        assert_eq!(text_of_lines(Path::new("x.jsonl"), scored).unwrap(), "ab");
        let mut corpus = Corpus::new(&tokenizer, Names::End, Learn::Answers);
        let talk = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}]}";
        let error = corpus.lines(Path::new("x.jsonl"), talk).unwrap_err().to_string();
        assert!(error.contains("line 1: is a conversation, but the model has no chat"), "{error}");
    }
}
