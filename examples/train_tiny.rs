//! Trains a small model from scratch and generates text with it:
//! `cargo run --release --example train_tiny`.
//!
//! The text is one sentence, repeated, with characters as tokens; a model of two layers memorizes
//! it in a few hundred steps.

use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::train::{Data, Schedule, Sizes, TrainOptions, Trainer, new_model};

const TEXT: &str = "the quick brown fox jumps over the lazy dog. ";

fn main() -> pellucid::Result<()> {
    // A token is the index of a character in the alphabet of the text.
    let mut alphabet: Vec<char> = TEXT.chars().collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let id = |letter| alphabet.binary_search(&letter).unwrap_or_default() as u32;
    let data = Data { train: TEXT.repeat(50).chars().map(id).collect(), ..Data::default() };

    // A folder with config.json and random weights, like that of any other model.
    let folder = std::env::temp_dir().join("pellucid-train-tiny");
    let sizes = Sizes {
        layers: 2,
        heads: 2,
        width: 64,
        context: 32,
        vocab: alphabet.len(),
        ..Sizes::default()
    };
    new_model(&folder, &sizes.config(None), 1)?;
    let checkpoint = Checkpoint::open(&folder)?;

    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default()))?;
    let options = TrainOptions { batch: 4, context: 32, ..TrainOptions::default() };
    let opening = Trainer::open(gpu, &checkpoint, options, SelectionPolicy::default(), |_| {});
    let mut trainer = pollster::block_on(opening)?;

    let schedule = Schedule { steps: 200, warmup: 20, peak_lr: 3e-3, ..Schedule::default() };
    for step in 0..schedule.steps {
        let batches = data.batches(&options, step, 1);
        let found = pollster::block_on(trainer.step(&batches, schedule.lr(step)))?;
        if found.step.is_multiple_of(20) {
            println!("step {:3}  loss {:.3}", found.step, found.loss);
        }
    }
    Ok(())
}
