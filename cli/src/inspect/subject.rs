//! What is looked at: a model, a text, and edits.

use std::path::Path;

use clap::Args;
use pellucid::generate::Llm;
use pellucid::hook::Hook;
use pellucid::model::Edit;
use pellucid::{Error, Result};

use crate::edits::EditOptions;
use crate::generate::Prompt;
use crate::input::{self, TokenList};
use crate::options::{self, ModelOptions, TextOptions};

use super::emit::OutputOptions;

/// The text, the model, the edits and the form of the result.
#[derive(Debug, Args)]
pub(crate) struct Subject {
    #[command(flatten)]
    prompt: Prompt,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    pub(crate) out: OutputOptions,
    #[command(flatten)]
    text: TextOptions,
    #[command(flatten)]
    pub(crate) model: ModelOptions,
}

/// A loaded model, and the text and edits in its terms.
pub(crate) struct Opened {
    pub(crate) llm: Llm,
    pub(crate) tokens: Vec<u32>,
    pub(crate) edits: Vec<(Hook, Edit)>,
}

/// One of several texts, and the edits in its terms.
pub(crate) struct Text {
    pub(crate) tokens: Vec<u32>,
    pub(crate) edits: Vec<(Hook, Edit)>,
}

impl Subject {
    /// Loads the model and reads the text.
    ///
    /// # Errors
    /// Those of the model, of the text, and of the edits.
    pub(crate) async fn open(&self) -> Result<Opened> {
        // Errors that need no model come before it is loaded.
        self.out.file()?;
        let text = self.prompt.text()?;
        if let Some(text) = &text {
            self.model.check_prompt(text, self.text.encode())?;
        }
        let ids = self.prompt.tokens.as_ref().map(TokenList::ids).transpose()?;
        let (llm, _) = self.model.load_for(ids.is_some()).await?;
        let tokens = match ids {
            Some(ids) => ids,
            None => options::encode(&llm, &text.unwrap_or_default(), self.text.encode())?,
        };
        if tokens.len() > llm.context() {
            return Err(Error::Context { asked: tokens.len(), limit: llm.context() });
        }
        let edits = self.edits.resolve(llm.config(), tokens.len())?;
        Ok(Opened { llm, tokens, edits })
    }
}

impl Subject {
    /// Loads the model and reads several texts, each with its edits.
    ///
    /// # Errors
    /// As [`Subject::open`], for the first text at fault.
    pub(crate) async fn open_each(&self, texts: &[String]) -> Result<(Llm, Vec<Text>)> {
        self.out.file()?;
        texts.iter().try_for_each(|text| self.model.check_prompt(text, self.text.encode()))?;
        let (llm, _) = self.model.load().await?;
        let mut found = Vec::with_capacity(texts.len());
        for text in texts {
            let tokens = options::encode(&llm, text, self.text.encode())?;
            if tokens.len() > llm.context() {
                return Err(Error::Context { asked: tokens.len(), limit: llm.context() });
            }
            let edits = self.edits.resolve(llm.config(), tokens.len())?;
            found.push(Text { tokens, edits });
        }
        Ok((llm, found))
    }
}

/// The lines of a text file, without empty ones.
///
/// # Errors
/// Those of reading the file, and one for a file without text.
pub(crate) fn text_lines(file: &Path) -> Result<Vec<String>> {
    let text = input::file(file)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(input::no_text(file, "use"));
    }
    Ok(lines)
}

/// Texts as tokens.
///
/// # Errors
/// Those of the tokenizer, and [`Error::Context`] for a text that is longer than the context.
pub(crate) fn encode_all(llm: &Llm, texts: &[String]) -> Result<Vec<Vec<u32>>> {
    let encode = |text: &String| {
        let tokens = options::encode(llm, text, pellucid::tokenizer::Encode::default())?;
        match tokens.len() {
            asked if asked > llm.context() => Err(Error::Context { asked, limit: llm.context() }),
            _ => Ok(tokens),
        }
    };
    texts.iter().map(encode).collect()
}

/// A token as people write it: its id, or a text that is one token.
///
/// # Errors
/// [`Error::Input`], naming the option, for a text of another number of tokens.
pub(crate) fn token(llm: &Llm, option: &str, text: &str) -> Result<u32> {
    if let Ok(id) = text.parse::<u32>() {
        let vocab = llm.config().vocab;
        return if (id as usize) < vocab {
            Ok(id)
        } else {
            Err(Error::Input(format!("{option} {id} is outside the vocabulary of {vocab}")))
        };
    }
    let bare = pellucid::tokenizer::Encode {
        bos: pellucid::tokenizer::Bos::Never,
        special: pellucid::tokenizer::Special::Recognize,
    };
    match options::encode(llm, text, bare)?[..] {
        [id] => Ok(id),
        ref ids => Err(Error::Input(format!(
            "{option} {text:?} is {} tokens ({ids:?}); give one, or its id",
            ids.len()
        ))),
    }
}

/// A token as text, in quotes, for tables.
pub(crate) fn shown(llm: &Llm, id: u32) -> String {
    let text = llm.tokenizer().map(|tokenizer| tokenizer.decode(&[id]));
    match text {
        Some(text) if text.contains(char::REPLACEMENT_CHARACTER) || text.is_empty() => {
            let own = llm.tokenizer().and_then(|tokenizer| tokenizer.token(id));
            own.unwrap_or_else(|| id.to_string())
        }
        Some(text) => format!("{text:?}"),
        None => id.to_string(),
    }
}

/// A text in so many columns.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let mut short: String = text.chars().take(columns).collect();
    if text.chars().count() > columns {
        short.pop();
        short.push('…');
    }
    format!("{short:<columns$}")
}

/// A range of positions: `a:b`, half-open; negative numbers count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Positions {
    first: Option<i64>,
    end: Option<i64>,
}

impl std::str::FromStr for Positions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.trim() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| format!("`{text}` is not a position")),
        };
        match text.split_once(':') {
            Some((first, end)) => Ok(Self { first: number(first)?, end: number(end)? }),
            None => {
                let first = number(text)?;
                let end = first.and_then(|first| if first == -1 { None } else { Some(first + 1) });
                if first.is_none() {
                    Err("give positions such as 3, 2:5 or -4:".to_owned())
                } else {
                    Ok(Self { first, end })
                }
            }
        }
    }
}

impl Positions {
    /// The range in a text of so many tokens.
    pub(crate) fn of(self, tokens: usize) -> std::ops::Range<usize> {
        let place = |number: i64| match usize::try_from(number) {
            Ok(place) => place,
            Err(_) => tokens.saturating_sub(number.unsigned_abs() as usize),
        };
        self.first.map_or(0, place)..self.end.map_or(tokens, place)
    }
}
