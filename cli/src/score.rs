//! `pellucid score`: computes how probable a text is.

use std::path::PathBuf;

use clap::Args;
use pellucid::{Error, Result};
use serde::Serialize;

use crate::edits::EditOptions;
use crate::input;
use crate::input::TokenList;
use crate::options::{self, ModelOptions, TextOptions};
use crate::output;

/// Compute the perplexity of a text.
///
/// A text longer than the context is scored in overlapping windows. With --json the output also has
/// the log-probability of every token.
#[derive(Debug, Args)]
pub(crate) struct Score {
    #[command(flatten)]
    source: Source,
    /// Include the K most probable tokens at each position in --json
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Output")]
    top: Option<u32>,
    /// Print one JSON object instead of a line
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    text: TextOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// The text.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Text file, or - for standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Score these token ids, or those on standard input with -; at most --context of them
    #[arg(long, value_name = "ID,ID,...", help_heading = "Input")]
    tokens: Option<TokenList>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    tokens: Vec<u32>,
    logprobs: Vec<f32>,
    perplexity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Vec<Vec<(u32, f32)>>>,
}

impl Score {
    pub(crate) async fn run(&self) -> Result<()> {
        let text = self.source.file.as_deref().map(input::file).transpose()?;
        if let (Some(""), Some(file)) = (text.as_deref(), &self.source.file) {
            return Err(input::no_text(file, "score"));
        }
        let ids = self.source.tokens.as_ref().map(TokenList::ids).transpose()?;
        let (mut llm, _) = self.model.load_for(ids.is_some()).await?;
        let top = self.top.map(|k| k as usize);
        options::check_top("--top", top, llm.config().vocab)?;
        let tokens = match ids {
            // A text is scored in windows; ids are scored as they are.
            Some(ids) if ids.len() > llm.context() => {
                return Err(Error::Context { asked: ids.len(), limit: llm.context() });
            }
            Some(ids) => ids,
            None => options::encode(&llm, &text.unwrap_or_default(), self.text.encode())?,
        };
        if let ([], Some(file)) = (tokens.as_slice(), &self.source.file) {
            return Err(input::no_text(file, "score"));
        }
        let edits = self.edits.resolve(llm.config(), tokens.len().min(llm.context()))?;
        let score = llm.score_edited(&tokens, top, &edits).await?;
        if self.json {
            let (logprobs, perplexity, top) = (score.logprobs, score.perplexity, score.top);
            return output::json(&Report { tokens, logprobs, perplexity, top });
        }
        let perplexity = score.perplexity.map_or_else(|| "-".to_owned(), |p| format!("{p:.4}"));
        output::line(&format!("perplexity {perplexity}, {} tokens", tokens.len()))?;
        if let Some(place) = output::unnamed(llm.adapter()) {
            output::note(&place);
        }
        Ok(())
    }
}
