//! What do chat templates make of conversations? No model is needed.
//!
//! Reads a request a line as JSON and answers each with a line of JSON: the text or the error, and the
//! seconds that it took. `tests/golden/templates/public.py` holds public templates against
//! `transformers` with it.
//!
//! `cargo run --release --example render_template < requests.jsonl`, where a request is
//! `{"template": "{{ messages[0].content }}", "messages": [{"role": "user", "content": "Hello"}],
//! "arguments": {"enable_thinking": "false"}}`

use std::io::{BufRead, Write};
use std::time::Instant;

use pellucid::Error;
use pellucid::tokenizer::{ChatTemplate, Message, Role, TemplateArguments};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let (template, messages) = asked(&serde_json::from_str(&line?)?)?;
        let start = Instant::now();
        let rendered = template.render(&messages);
        let seconds = start.elapsed().as_secs_f64();
        let answer = match rendered {
            Ok(text) => json!({"text": text, "seconds": seconds}),
            Err(error) => json!({"error": error.to_string(), "seconds": seconds}),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

/// The template and the conversation of a request.
fn asked(request: &Value) -> pellucid::Result<(ChatTemplate, Vec<Message>)> {
    let word = |value: &Value, name: &str| {
        let text = value[name].as_str().map(str::to_owned);
        text.ok_or_else(|| Error::Input(format!("a request needs a text as {name:?}")))
    };
    let mut arguments = TemplateArguments::default();
    for (name, _) in request["arguments"].as_object().into_iter().flatten() {
        arguments.set(name, &word(&request["arguments"], name)?)?;
    }
    let template = ChatTemplate {
        path: "template".into(),
        source: word(request, "template")?,
        bos: request["bos_token"].as_str().map(str::to_owned),
        eos: request["eos_token"].as_str().map(str::to_owned),
        arguments,
    };
    let message = |turn: &Value| {
        let role = match word(turn, "role")?.as_str() {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            other => return Err(Error::Input(format!("there is no role {other:?}"))),
        };
        Ok(Message { role, content: word(turn, "content")? })
    };
    let turns = request["messages"].as_array().into_iter().flatten();
    Ok((template, turns.map(message).collect::<pellucid::Result<_>>()?))
}
