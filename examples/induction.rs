//! Two layers of attention learn to copy repeated tokens, one layer does not:
//! `cargo run --release --example induction`.
//!
//! Random tokens repeat after a period that differs from sequence to sequence. To predict what
//! followed an earlier occurrence of a token, a head must find the position after it. That takes an
//! induction head, which composes two layers. Elhage et al. 2021; Olsson et al. 2022.

use std::path::Path;

use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{AdapterChoice, Gpu};
use pellucid::noise::noise;
use pellucid::train::{
    Batch, Family, IGNORED, Optimizer, Schedule, Sizes, TrainOptions, Trainer, new_model,
};

const VOCAB: usize = 32;
const CONTEXT: usize = 32;

/// Sequences of random tokens that repeat; only the repeated tokens are targets.
fn repeated(step: u64, sequences: usize) -> Batch {
    let mut batch = Batch::default();
    for row in 0..sequences {
        let draw = |i: usize| noise(31, row as u32, step as u32, i as u32);
        let period = 5 + draw(1000) as usize % (CONTEXT / 2 - 5);
        let token = |i: usize| draw(i % period) % VOCAB as u32;
        batch.tokens.extend((0..CONTEXT).map(token));
        let target = |i: usize| if i >= period { token(i + 1) } else { IGNORED };
        batch.targets.extend((0..CONTEXT).map(target));
    }
    batch
}

/// The loss of an attention-only model on unseen sequences, after training it for a number of
/// steps. Its initial weights are written to a folder.
pub(crate) fn learn(
    folder: &Path,
    layers: usize,
    batch: usize,
    steps: u64,
) -> pellucid::Result<f64> {
    let family = Family::Gpt2AttnOnly;
    let (heads, width, context, vocab, untied) = (2, 64, CONTEXT, VOCAB, true);
    let sizes = Sizes { family, layers, heads, width, context, vocab, untied, ..Sizes::default() };
    new_model(folder, &sizes.config(None), 2)?;
    let checkpoint = Checkpoint::open(folder)?;

    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default()))?;
    let optimizer = Optimizer::AdamW { betas: [0.9, 0.98], eps: 1e-8, decay: 0.0 };
    let options = TrainOptions { batch, context, optimizer, ..TrainOptions::default() };
    let opening = Trainer::open(gpu, &checkpoint, options, SelectionPolicy::default(), |_| {});
    let mut trainer = pollster::block_on(opening)?;

    let schedule = Schedule { steps, warmup: 50, peak_lr: 3e-3, ..Schedule::default() };
    for step in 0..steps {
        let found = pollster::block_on(trainer.step(&[repeated(step, batch)], schedule.lr(step)))?;
        if found.step.is_multiple_of(100) {
            println!("{layers} layers, step {:3}: loss {:.3}", found.step, found.loss);
        }
    }
    pollster::block_on(trainer.evaluate(&[repeated(1 << 31, batch)]))
}

fn main() -> pellucid::Result<()> {
    let folder = |layers: usize| std::env::temp_dir().join(format!("pellucid-induction-{layers}"));
    let (one, two) = (learn(&folder(1), 1, 32, 600)?, learn(&folder(2), 2, 32, 600)?);
    println!("one layer {one:.2}, two layers {two:.2}, chance {:.2}", (VOCAB as f64).ln());
    assert!(two < 0.3 && one > 1.5, "an induction head needs two layers");
    Ok(())
}
