//! `pellucid generate`: continues a prompt.

use std::path::PathBuf;

use clap::Args;
use pellucid::Result;
use pellucid::generate::{Finish, Generation, Llm, Request};

use crate::drawing::{self, DrawOptions, Drawn};
use crate::edits::EditOptions;
use crate::input;
use crate::input::TokenList;
use crate::options::{self, ModelOptions, TextOptions};
use crate::output;

/// Continue a prompt.
///
/// The text is printed as it is generated. Ctrl-C stops the generation and keeps the text.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    prompt: Prompt,
    /// Maximum number of tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    #[command(flatten)]
    drawing: DrawOptions,
    /// Save the KV cache of the prompt and the generated text, for --load-cache
    #[arg(long, value_name = "FILE", help_heading = "Prompt cache")]
    save_cache: Option<PathBuf>,
    /// Load a saved KV cache; the prompt is processed from where it differs
    #[arg(long, value_name = "FILE", help_heading = "Prompt cache")]
    load_cache: Option<PathBuf>,
    /// Print one JSON object instead of the text
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    text: TextOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// The prompt.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Prompt {
    /// Prompt, or - for standard input
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    /// Read the prompt from a file, or from standard input with -
    ///
    /// The text is used as it is: a newline at its end is part of the prompt.
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    prompt_file: Option<PathBuf>,
    /// Use these token ids as the prompt, or those on standard input with -
    #[arg(long, value_name = "ID,ID,...", help_heading = "Input")]
    pub(crate) tokens: Option<TokenList>,
}

impl Prompt {
    /// The text, unless the prompt is token ids.
    pub(crate) fn text(&self) -> Result<Option<String>> {
        match (&self.prompt, &self.prompt_file) {
            (Some(text), _) => input::text(text).map(Some),
            (None, Some(file)) => input::file(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

impl Generate {
    /// Generates; returns why it ended.
    pub(crate) async fn run(&self) -> Result<Finish> {
        // Errors that need no model come before it is loaded.
        let mut request = self.drawing.request(&self.model, self.max_new_tokens)?;
        request.reuse_prefix = self.load_cache.is_some();
        let text = self.prompt.text()?;
        if let Some(text) = &text {
            self.model.check_prompt(text, self.text.encode())?;
        }
        let ids = self.prompt.tokens.as_ref().map(TokenList::ids).transpose()?;
        let (mut llm, load) = self.model.load_for(ids.is_some()).await?;
        self.drawing.check(&llm)?;
        if let Some(file) = &self.load_cache {
            llm.load_cache(file)?;
        }
        let prompt = match ids {
            Some(ids) => ids,
            None => options::encode(&llm, &text.unwrap_or_default(), self.text.encode())?,
        };
        request.edits = self.edits.resolve(llm.config(), prompt.len())?;
        let shown = |text: &str| if self.json { Ok(()) } else { output::piece(text) };
        let (drawn, written) = drawing::draw(&mut llm, &prompt, &request, load, shown).await?;
        let written = written.and_then(|()| self.show(&drawn, &llm, &prompt, &request));
        // The cache is kept even if nobody sees the text any more, as when the terminal was closed.
        if let Some(file) = &self.save_cache {
            llm.save_cache(file).await?;
        }
        written?;
        Ok(drawn.generation.finish)
    }

    /// Shows what was not shown during generation.
    fn show(&self, drawn: &Drawn, llm: &Llm, prompt: &[u32], request: &Request) -> Result<()> {
        if self.json {
            return drawn.json(llm, prompt, request);
        }
        let generation = &drawn.generation;
        show_end(generation)?;
        output::note(&format!(
            "{} tokens ({}), {} tok/s{}, seed {}{}",
            generation.tokens.len(),
            format!("{:?}", generation.finish).to_lowercase(),
            output::shown(drawn.times.decode_tok_s),
            output::unnamed(llm.adapter()).map_or_else(String::new, |place| format!(", {place}")),
            request.sampling.seed,
            match generation.reused {
                0 => String::new(),
                reused => format!(", {reused} tokens from the cache"),
            }
        ));
        Ok(())
    }
}

/// Ends the line of the text. Without a tokenizer there is no text, and the ids are printed
/// instead.
fn show_end(generation: &Generation) -> Result<()> {
    if generation.text.is_some() {
        return output::line("");
    }
    let ids: Vec<String> = generation.tokens.iter().map(u32::to_string).collect();
    output::line(&ids.join(","))
}
