//! `pellucid chat`: a conversation; each line of standard input is a turn.

use std::io::{IsTerminal, Write, stderr, stdin};
use std::time::Duration;

use clap::Args;
use pellucid::generate::{Finish, Llm, Request};
use pellucid::tokenizer::{ChatTemplate, Message, Role, TemplateArguments};
use pellucid::{Error, Result};

use crate::drawing::{self, DrawOptions};
use crate::edits::EditOptions;
use crate::input;
use crate::interrupt;
use crate::options::ModelOptions;
use crate::output;

/// Chat with a model.
///
/// Each line of standard input is a message, and the conversation lasts until the input ends. The
/// model's own chat template formats the messages; special tokens in a message count as text. The
/// KV cache is kept, so each turn processes only what is new. Ctrl-C stops an answer; between
/// answers it ends the conversation, as the end of the terminal always does.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// System message to start the conversation with
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Maximum number of tokens per answer
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_new_tokens: usize,
    /// Pass a variable to the chat template, such as `enable_thinking=false`; may be repeated. The value
    /// is JSON if it is valid JSON, and text otherwise
    #[arg(long = "template-arg", value_name = "NAME=VALUE", value_parser = template_argument)]
    template_args: Vec<(String, String)>,
    #[command(flatten)]
    drawing: DrawOptions,
    /// Print one JSON object per answer, each on a line, instead of the text
    #[arg(long, help_heading = "Output")]
    json: bool,
    #[command(flatten)]
    edits: EditOptions,
    #[command(flatten)]
    model: ModelOptions,
}

impl Chat {
    /// Talks until the input ends; returns whether nobody asked for an end before that.
    pub(crate) async fn run(&self) -> Result<bool> {
        let mut request = self.drawing.request(&self.model, self.max_new_tokens)?;
        request.reuse_prefix = true;
        let (mut llm, load) = self.model.load().await?;
        self.drawing.check(&llm)?;
        let system = self
            .system
            .iter()
            .map(|content| Message { role: Role::System, content: content.clone() });
        let mut talk: Vec<Message> = system.collect();
        match llm.chat_template_mut() {
            Some(template) => self.set_arguments(template)?,
            // A model without a template is an error before the first message.
            None => drop(llm.encode_chat(&talk)?),
        }
        let mut edits = self.edits.clone();
        let mut is_silent = true;
        let asks = !self.json && stdin().is_terminal() && stderr().is_terminal();
        loop {
            if asks {
                // A prompt that cannot be shown is no error.
                let _ = write!(stderr(), "> ");
            }
            let Some(line) = input::line()? else {
                if is_silent && !stdin().is_terminal() {
                    output::note("(standard input has no message; each line of it is a message)");
                }
                return Ok(true);
            };
            if line.trim().is_empty() {
                continue;
            }
            if let Some(told) = command(&line, &mut edits, &llm) {
                output::note(&told);
                continue;
            }
            is_silent = false;
            talk.push(Message { role: Role::User, content: line });
            let (answer, finish) =
                self.answer(&mut llm, &talk, (&mut request, &edits), load).await?;
            if finish == Finish::Interrupted && interrupt::ends_the_program() {
                return Ok(false);
            }
            talk.push(Message { role: Role::Assistant, content: answer });
            // Each answer has its own seed.
            request.sampling.seed = request.sampling.seed.wrapping_add(1);
        }
    }

    /// Tells the template what was asked for, and the user what it does not know.
    fn set_arguments(&self, template: &mut ChatTemplate) -> Result<()> {
        for (name, value) in &self.template_args {
            template.arguments.set(name, value)?;
            if !template.mentions(name) {
                output::note(&format!(
                    "(--template-arg {name}: the chat template does not use it)"
                ));
            }
        }
        Ok(())
    }

    /// Generates and shows one answer; gives it and why it ended.
    async fn answer(
        &self,
        llm: &mut Llm,
        talk: &[Message],
        (request, edits): (&mut Request, &EditOptions),
        load: Duration,
    ) -> Result<(String, Finish)> {
        let prompt = llm.encode_chat(talk)?;
        request.edits = edits.resolve(llm.config(), prompt.len())?;
        let shown = |text: &str| if self.json { Ok(()) } else { output::piece(text) };
        let limits = (llm.context(), llm.config().context);
        let drawn = drawing::draw(llm, &prompt, request, load, shown).await;
        let (drawn, written) = drawn.map_err(|error| too_long(error, limits))?;
        written?;
        let finish = drawn.generation.finish;
        if self.json {
            drawn.json(llm, &prompt, request)?;
        } else {
            output::line("")?;
        }
        match finish {
            Finish::Context => output::note(&full(limits)),
            Finish::Interrupted if !self.json && !interrupt::ends_the_program() => {
                output::note("(interrupted; Ctrl-C again ends the conversation)");
            }
            Finish::Length if !self.json => {
                output::note(&format!("(cut off after --max-new-tokens {})", self.max_new_tokens));
            }
            _ => {}
        }
        Ok((drawn.generation.text.unwrap_or_default(), finish))
    }
}

/// Changes the edits if the line is a command: `/ablate UNIT`, `/steer FILE`, `/edit EDIT`, `/edits` or
/// `/clear`. Gives what to tell the user; a mistake is told and changes nothing.
fn command(line: &str, edits: &mut EditOptions, llm: &Llm) -> Option<String> {
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let mut next = edits.clone();
    let changed = match name {
        "/ablate" => rest.parse().map(|unit| next.ablate(unit)),
        "/steer" => rest.parse().map(|steering| next.steer(steering)),
        "/edit" => rest.parse().map(|edit| next.edit(edit)),
        "/clear" => {
            next.clear();
            Ok(())
        }
        "/edits" => Ok(()),
        _ => return None,
    };
    // The real prompt is longer: only what no prompt can have is refused here.
    let checked = changed.and_then(|()| next.resolve(llm.config(), llm.context()).map(drop));
    Some(match checked {
        Ok(()) => {
            *edits = next;
            let written = edits.written();
            if written.is_empty() {
                "(no edits)".to_owned()
            } else {
                format!("({})", written.join("; "))
            }
        }
        Err(error) => format!("({})", output::sentence(&error)),
    })
}

/// The name and value of an argument of the template.
fn template_argument(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected NAME=VALUE".to_owned());
    };
    let checked = TemplateArguments::default().set(name, value);
    checked.map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The error for a conversation that has become too long.
fn too_long(error: Error, limits: (usize, usize)) -> Error {
    match error {
        Error::Context { asked, .. } => {
            Error::Input(format!("the conversation has {asked} tokens, and {}", full(limits)))
        }
        other => other,
    }
}

/// That the context is full, and what to do about it.
fn full((context, most): (usize, usize)) -> String {
    let larger = if context < most {
        format!(", or raise --context (at most {most} for this model)")
    } else {
        String::new()
    };
    format!("the context of {context} is full: start a new conversation{larger}")
}
