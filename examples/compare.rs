//! Compares a model on the device with the reference, value by value:
//! `cargo run --example compare -- MODEL 1,2,3`, where MODEL is a folder or a GGUF file and the
//! numbers are token ids.

use std::path::Path;
use std::process::ExitCode;

use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::inspect::{Comparison, compare};
use pellucid::model::{Session, SessionOptions};
use pellucid::{Error, Result, reference};

/// The accuracy of f32 values after a few dozen layers.
const TOLERANCE: f64 = 1e-4;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, tokens] = arguments.as_slice() else {
        eprintln!("usage: compare MODEL TOKENS, such as: compare models/gpt2 15496,11,995");
        return ExitCode::from(2);
    };
    match pollster::block_on(run(Path::new(model), tokens)) {
        Ok(comparison) => {
            println!("{comparison}");
            if comparison.first().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(path: &Path, tokens: &str) -> Result<Comparison> {
    let id = |word: &str| {
        word.trim().parse().map_err(|_| Error::Input(format!("{word:?} is not a token id")))
    };
    let tokens: Vec<u32> = tokens.split(',').map(id).collect::<Result<_>>()?;
    let checkpoint = Checkpoint::open(path)?;
    let reference = reference::Model::load(&checkpoint, &mut |_, _| {})?;
    let gpu = Gpu::open(&AdapterChoice::default()).await?;
    // The default variants without a check: a wrong kernel must show here, and not be excluded.
    let (options, kernels) = (SessionOptions::default(), SelectionPolicy::built_in());
    let mut session = Session::open(gpu, &checkpoint, &options, kernels, |_| {}).await?;
    compare(&mut session, &reference, &tokens, TOLERANCE).await
}
