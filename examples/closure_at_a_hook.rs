//! A function of your own in the middle of the model: it sees the MLP's neurons, and silences the
//! strongest of each token. `cargo run --release --example closure_at_a_hook`, or with the path of a
//! model and a prompt: `-- models/gpt2 "The capital of France is"`.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pellucid::Result;
use pellucid::checkpoint::Checkpoint;
use pellucid::generate::{Event, Llm, Options, Request};
use pellucid::hook::Hook;
use pellucid::model::{Change, Edit, HookFn, HookValue};
use pellucid::tokenizer::Encode;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let checkpoint = match arguments.next() {
        Some(path) => Checkpoint::open(path.as_ref())?,
        None => Checkpoint::built_in()?,
    };
    let prompt = arguments.next().unwrap_or_else(|| "ROMEO:\nBut soft".to_owned());
    pellucid::block_on(run(checkpoint, &prompt))
}

async fn run(checkpoint: Checkpoint, prompt: &str) -> Result<()> {
    let mut llm = Llm::open(checkpoint, &Options::default(), |_| {}).await?;
    let tokens = llm.encode(prompt, Encode::default())?;
    println!("as it is:\n{}\n", say(&mut llm, &tokens, Vec::new()).await?);

    // How often each neuron was the strongest. A function may keep what it likes.
    let layer = llm.config().layers / 2;
    let silenced = Arc::new(Mutex::new(vec![0; llm.config().mlp.hidden()]));
    let count = Arc::clone(&silenced);
    let silence = HookFn::new(move |value: HookValue<'_>| {
        let neurons = value.shape[1];
        for row in value.values.chunks_mut(neurons) {
            let strongest = (0..neurons).max_by(|a, b| row[*a].abs().total_cmp(&row[*b].abs()));
            let Some(strongest) = strongest else { continue };
            row[strongest] = 0.0;
            if let Ok(mut count) = count.lock() {
                count[strongest] += 1;
            }
        }
        Ok(())
    });
    let edits = vec![(Hook::MlpPost(layer), Edit::all(Change::Call(silence)))];
    println!("without the strongest neuron:\n{}\n", say(&mut llm, &tokens, edits).await?);

    let mut often: Vec<(usize, usize)> = silenced
        .lock()
        .map(|count| count.iter().copied().enumerate().collect())
        .unwrap_or_default();
    often.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    for (neuron, times) in often.iter().take(5).filter(|(_, times)| *times > 0) {
        println!("L{layer}N{neuron} was silenced {times} times");
    }
    Ok(())
}

/// What the model says, the most probable token each time.
async fn say(llm: &mut Llm, tokens: &[u32], edits: Vec<(Hook, Edit)>) -> Result<String> {
    let request = Request { max_new_tokens: 32, edits, ..Request::default() };
    let mut text = String::new();
    let on_event = |event| {
        if let Event::Token(piece) = event {
            text.push_str(&piece.text);
        }
        ControlFlow::Continue(())
    };
    llm.generate(tokens, &request, on_event).await?;
    Ok(text)
}
