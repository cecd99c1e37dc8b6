//! Loads a model and streams a continuation.
//!
//! `cargo run --release --example hello -- MODEL "Once upon a time"`

use std::io::Write;

use pellucid::generate::{Llm, Options, Request};
use pellucid::tokenizer::Encode;

fn main() -> pellucid::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments
        .next()
        .unwrap_or_else(|| "target/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    let prompt = arguments.next().unwrap_or_else(|| "Once upon a time".to_owned());
    pollster::block_on(async {
        let mut llm = Llm::load(&model, &Options::default(), |_| {}).await?;
        let tokens = llm.encode(&prompt, Encode::default())?;
        print!("{prompt}");
        let request = Request { max_new_tokens: 48, ..Request::default() };
        let mut stream = llm.stream(&tokens, &request)?;
        while let Some(piece) = stream.next().await? {
            print!("{}", piece.text);
            // If the terminal is closed, the loop still runs to its end.
            let _ = std::io::stdout().flush();
        }
        println!();
        Ok(())
    })
}
