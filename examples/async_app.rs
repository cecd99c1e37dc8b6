//! A model in an async app: it runs on a thread of its own, and other tasks send it prompts through
//! channels.
//!
//! It works with any executor, and needs no crate beyond `pollster`.

use std::sync::mpsc::{Receiver, Sender, channel};

use pellucid::generate::{Llm, Options, Request};
use pellucid::tokenizer::Encode;

/// A request to the model: a prompt, and where to send the text.
type Question = (String, Sender<String>);

/// Serves one request after another until all senders are gone.
async fn serve(model: String, questions: Receiver<Question>) -> pellucid::Result<()> {
    let mut llm = Llm::load(&model, &Options::default(), |_| {}).await?;
    for (prompt, answer) in questions {
        let tokens = llm.encode(&prompt, Encode::default())?;
        let request = Request { max_new_tokens: 16, ..Request::default() };
        let mut stream = llm.stream(&tokens, &request)?;
        while let Some(piece) = stream.next().await? {
            if answer.send(piece.text).is_err() {
                break; // The receiver is gone, so there is no reason to continue.
            }
        }
        stream.finish().await?;
    }
    Ok(())
}

fn main() -> pellucid::Result<()> {
    let model = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    let (ask, questions) = channel();
    let server = std::thread::spawn(move || pollster::block_on(serve(model, questions)));
    for prompt in ["Roses are", "The largest planet is"] {
        let (answer, pieces) = channel();
        if ask.send((prompt.to_owned(), answer)).is_err() {
            break;
        }
        println!("{prompt}{}", pieces.iter().collect::<String>());
    }
    drop(ask);
    server.join().unwrap_or(Ok(()))
}
