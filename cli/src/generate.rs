//! `pellucid generate`: continues a text.

use std::path::PathBuf;

use clap::Args;
use pellucid::Result;
use pellucid::generate::{Finish, Generation, Llm, Request};

use crate::drawing::{self, DrawOptions, Drawn};
use crate::input;
use crate::input::TokenList;
use crate::options::{self, ModelOptions, TextOptions};
use crate::output;

/// Continues a text.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    #[command(flatten)]
    prompt: Prompt,
    /// The most tokens to draw
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new_tokens: usize,
    #[command(flatten)]
    drawing: DrawOptions,
    /// Keep what was read and drawn in this file, for --load-cache
    #[arg(long, value_name = "FILE")]
    save_cache: Option<PathBuf>,
    /// Do not read again what the prompt shares with the text kept in this file
    #[arg(long, value_name = "FILE")]
    load_cache: Option<PathBuf>,
    /// Print one JSON object instead of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    text: TextOptions,
    #[command(flatten)]
    model: ModelOptions,
}

/// What is to be continued.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Prompt {
    /// The text to continue; `-` reads standard input, line end included
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    /// Continue the text of this file, line end included; `-` is standard input
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Token ids instead of a text
    #[arg(long, value_name = "ID,ID,...")]
    tokens: Option<TokenList>,
}

impl Prompt {
    /// The text, where the prompt is one.
    fn text(&self) -> Result<Option<String>> {
        match (&self.prompt, &self.prompt_file) {
            (Some(text), _) => input::text(text).map(Some),
            (None, Some(file)) => input::file(file).map(Some),
            (None, None) => Ok(None),
        }
    }
}

impl Generate {
    /// Says why it ended.
    pub(crate) async fn run(&self) -> Result<Finish> {
        // What can be found wrong without the model is, before it is loaded.
        let mut request = self.drawing.request(&self.model, self.max_new_tokens)?;
        request.reuse_prefix = self.load_cache.is_some();
        let text = self.prompt.text()?;
        if let Some(text) = &text {
            self.model.check_prompt(text, self.text.encode())?;
        }
        let ids = self.prompt.tokens.as_ref().map(TokenList::ids).transpose()?;
        let (mut llm, load) = self.model.load().await?;
        self.drawing.check(&llm)?;
        if let Some(file) = &self.load_cache {
            llm.load_cache(file)?;
        }
        let prompt = match ids {
            Some(ids) => ids,
            None => options::encode(&llm, &text.unwrap_or_default(), self.text.encode())?,
        };
        let shown = |text: &str| if self.json { Ok(()) } else { output::piece(text) };
        let drawn = drawing::draw(&mut llm, &prompt, &request, load, shown).await?;
        self.show(&drawn, &llm, &prompt, &request)?;
        if let Some(file) = &self.save_cache {
            llm.save_cache(file).await?;
        }
        Ok(drawn.generation.finish)
    }

    /// Shows what was not shown while it was drawn.
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

/// Ends the line of the text; without a tokenizer there is none, and the ids stand in for it.
fn show_end(generation: &Generation) -> Result<()> {
    if generation.text.is_some() {
        return output::line("");
    }
    let ids: Vec<String> = generation.tokens.iter().map(u32::to_string).collect();
    output::line(&ids.join(","))
}
