//! Continues several prompts at once, so each step reads the weights once for all of them.
//!
//! `cargo run --release --example batch -- MODEL`

use pellucid::generate::{Llm, Options, Request};
use pellucid::tokenizer::Encode;

fn main() -> pellucid::Result<()> {
    let model = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/models/SmolLM2-135M-Instruct.Q4_1.gguf".to_owned());
    let texts = ["The sun is", "Water boils at", "A poem about rain:"];
    pollster::block_on(async {
        let options = Options { sequences: texts.len(), ..Options::default() };
        let mut llm = Llm::load(&model, &options, |_| {}).await?;
        let prompts = texts
            .iter()
            .map(|text| llm.encode(text, Encode::default()))
            .collect::<pellucid::Result<Vec<_>>>()?;
        let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
        let request = Request { max_new_tokens: 24, ..Request::default() };
        for (text, generation) in texts.iter().zip(llm.generate_batch(&prompts, &request).await?) {
            println!("{text}{}\n", generation.text.unwrap_or_default());
        }
        Ok(())
    })
}
