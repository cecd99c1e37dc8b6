//! How probable is a text? Prints ln p of each token, and the perplexity.
//!
//! `cargo run --release --example score -- MODEL "some text"`

use pellucid::generate::{Llm, Options};
use pellucid::tokenizer::Encode;

fn main() -> pellucid::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments
        .next()
        .unwrap_or_else(|| "target/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    let text = arguments.next().unwrap_or_else(|| "The cat sat on the mat.".to_owned());
    pollster::block_on(async {
        let mut llm = Llm::load(&model, &Options::default(), |_| {}).await?;
        let tokens = llm.encode(&text, Encode::default())?;
        let score = llm.score(&tokens, Some(1)).await?;
        for (place, logprob) in score.logprobs.iter().enumerate() {
            let shown = |id| llm.tokenizer().map_or(String::new(), |t| t.decode(&[id]));
            let best = score.top.as_ref().and_then(|top| top[place].first().copied());
            let best = best.map_or(String::new(), |(id, p)| format!("best {:?} {p:.3}", shown(id)));
            println!("{logprob:8.3}  {:<16} {best}", format!("{:?}", shown(tokens[place + 1])));
        }
        if let Some(perplexity) = score.perplexity {
            println!("perplexity {perplexity:.2}");
        }
        Ok(())
    })
}
