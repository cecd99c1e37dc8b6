//! `pellucid chat`: a conversation, a line of standard input a turn.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use clap::Args;
use pellucid::generate::{Finish, Llm, Request};
use pellucid::tokenizer::{Message, Role};
use pellucid::{Error, Result};

use crate::drawing::{self, DrawOptions};
use crate::input;
use crate::options::ModelOptions;
use crate::output;

/// A conversation: reads a line from standard input, answers it, and so on until the input ends.
///
/// Turns are written by the model's own chat template. Special tokens in what is typed are text. What
/// was read stays in the cache, so that each turn costs only what is new. Ctrl-C ends an answer, and
/// while none is drawn the conversation.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// What the model is told before the first turn
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The most tokens to draw for an answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    #[command(flatten)]
    drawing: DrawOptions,
    /// Print one JSON object for each answer, a line each, instead of the text
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelOptions,
}

impl Chat {
    pub(crate) async fn run(&self) -> Result<()> {
        let mut request = self.drawing.request(&self.model, self.max_new_tokens)?;
        request.reuse_prefix = true;
        let (mut llm, load) = self.model.load().await?;
        self.drawing.check(&llm)?;
        let system = self
            .system
            .iter()
            .map(|content| Message { role: Role::System, content: content.clone() });
        let mut talk: Vec<Message> = system.collect();
        // A model without a template is told of before anybody has typed anything.
        if llm.chat_template().is_none() {
            llm.encode_chat(&talk)?;
        }
        let asks = !self.json && stdin().is_terminal() && stderr().is_terminal();
        loop {
            if asks {
                // Nobody misses a sign that cannot be shown.
                let _ = write!(stderr(), "> ");
            }
            let Some(line) = input::line()? else { return Ok(()) };
            if line.trim().is_empty() {
                continue;
            }
            talk.push(Message { role: Role::User, content: line });
            let answer = self.answer(&mut llm, &talk, &request, load).await?;
            talk.push(Message { role: Role::Assistant, content: answer });
            // Each answer draws from noise of its own.
            request.sampling.seed = request.sampling.seed.wrapping_add(1);
        }
    }

    /// Draws and shows one answer.
    async fn answer(
        &self,
        llm: &mut Llm,
        talk: &[Message],
        request: &Request,
        load: Duration,
    ) -> Result<String> {
        let prompt = llm.encode_chat(talk)?;
        let shown = |text: &str| if self.json { Ok(()) } else { output::piece(text) };
        let limits = (llm.context(), llm.config().context);
        let drawn = drawing::draw(llm, &prompt, request, load, shown).await;
        let drawn = drawn.map_err(|error| too_long(error, limits))?;
        let finish = drawn.generation.finish;
        if self.json {
            drawn.json(llm, &prompt, request)?;
        } else {
            output::line("")?;
        }
        match finish {
            Finish::Context => output::note(&full(limits)),
            Finish::Interrupted if !self.json => {
                output::note("(interrupted; Ctrl-C again ends the conversation)");
            }
            Finish::Length if !self.json => {
                output::note(&format!("(cut off after --max-new-tokens {})", self.max_new_tokens));
            }
            _ => {}
        }
        Ok(drawn.generation.text.unwrap_or_default())
    }
}

/// What a conversation that has become too long ends with.
fn too_long(error: Error, limits: (usize, usize)) -> Error {
    match error {
        Error::Context { asked, .. } => {
            Error::Input(format!("the conversation has {asked} tokens, and {}", full(limits)))
        }
        other => other,
    }
}

/// That the context is full, and the way on.
fn full((context, most): (usize, usize)) -> String {
    let larger = if context < most {
        format!(", or give a larger --context (this model's most is {most})")
    } else {
        String::new()
    };
    format!("the context of {context} is full: begin a new conversation{larger}")
}
