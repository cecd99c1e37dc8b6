//! Training runs: models learn what they can, and a stopped run resumes with the same bits.

use std::path::Path;

use pellucid::checkpoint::{Checkpoint, Param};
use pellucid::config::Config;
use pellucid::format::Format;
use pellucid::measure::{furthest, relative_error};
use pellucid::model::{LoadOptions, Model};
use pellucid::reference::noise;
use pellucid::train::{
    Data, Family, ModelFiles, Optimizer, Saved, Schedule, Sizes, TrainOptions, TrainSlot, Trainer,
    new_model,
};
use pollster::block_on;
use serde_json::Value;

use super::train::trainer;

pub(super) fn begin(folder: &Path, sizes: &Sizes, seed: u64) -> Checkpoint {
    new_model(folder, &sizes.config(None), seed).unwrap();
    Checkpoint::open(folder).unwrap()
}

fn uniform(seed: u64, id: u32) -> f64 {
    f64::from(noise(seed, 1, 2, id)) / 2_f64.powi(32)
}

pub(super) const SMALL: Sizes = Sizes {
    family: Family::Gpt2,
    layers: 2,
    heads: 2,
    kv_heads: None,
    width: 32,
    hidden: None,
    context: 16,
    vocab: 30,
    untied: false,
};

pub(super) const OPTIONS: TrainOptions = TrainOptions {
    batch: 3,
    context: 16,
    optimizer: Optimizer::AdamW { betas: [0.9, 0.95], eps: 1e-8, decay: 0.1 },
    clip: 1.0,
    dropout: 0.1,
    seed: 11,
    mixed: false,
};

pub(super) fn small_data() -> Data {
    let token = |i: u32| (i * i + noise(3, 0, 0, i) % 4) % 30;
    Data::split((0..600).map(token).collect::<Vec<_>>(), 0.1).unwrap()
}

pub(super) fn steps(trainer: &mut Trainer, data: &Data, last: u64) -> Vec<u64> {
    let mut losses = Vec::new();
    while trainer.steps() < last {
        let batches = data.batches(trainer.options(), trainer.steps(), 2);
        losses.push(block_on(trainer.step(&batches, 1e-3)).unwrap().loss.to_bits());
    }
    losses
}

#[test]
fn what_was_stopped_goes_on_with_the_same_bits() {
    for (family, mixed) in [(Family::Gpt2, false), (Family::Llama, false), (Family::Gpt2, true)] {
        let options = TrainOptions { mixed, ..OPTIONS };
        let folder = tempfile::tempdir().unwrap();
        let initial = begin(&folder.path().join("new"), &Sizes { family, ..SMALL }, 5);
        let data = small_data();
        let mut whole = trainer(&initial, options);
        let without = steps(&mut whole, &data, 8);
        let mut first = trainer(&initial, options);
        let mut with = steps(&mut first, &data, 4);
        let saved = block_on(first.save(
            folder.path(),
            &ModelFiles::of(&initial).unwrap(),
            Value::from("mine"),
        ))
        .unwrap();
        let saved = Saved::open(&saved).unwrap();
        assert_eq!((saved.state.step, &saved.state.run), (4, &Value::from("mine")));
        let mut second = trainer(&Checkpoint::open(&saved.folder).unwrap(), options);
        second.resume(&saved).unwrap();
        with.extend(steps(&mut second, &data, 8));
        assert_eq!(with, without);
        let weights =
            |trainer: &mut Trainer| block_on(trainer.read(TrainSlot::Value, Param::Q, 1)).unwrap();
        assert_eq!(weights(&mut second), weights(&mut whole));
        let batches = data.validation(&options, usize::MAX);
        let loss = block_on(second.evaluate(&batches)).unwrap();
        assert_eq!(loss.to_bits(), block_on(whole.evaluate(&batches)).unwrap().to_bits());
    }
}

/// With f16 copies, a step is that of the model with rounded matrices; the updated values are not
/// rounded.
#[test]
fn f16_copies_are_multiplied_by_and_f32_is_updated() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = Sizes { family: Family::Llama, kv_heads: Some(1), width: 36, ..SMALL };
    let initial = begin(&folder.path().join("new"), &Sizes { heads: 6, ..sizes }, 5);
    let options = TrainOptions { dropout: 0.0, ..OPTIONS };
    let mut full = trainer(&initial, options);
    let files = ModelFiles::of(&initial).unwrap();
    block_on(full.export(&folder.path().join("rounded"), &files, Format::F16)).unwrap();
    let mut rounded = trainer(&Checkpoint::open(&folder.path().join("rounded")).unwrap(), options);
    let mut mixed = trainer(&initial, TrainOptions { mixed: true, ..options });
    let data = small_data();
    let batches = data.batches(&options, 0, 2);
    let losses = [&mut rounded, &mut mixed, &mut full]
        .map(|trainer| block_on(trainer.add_gradients(&batches)).unwrap());
    assert!((losses[0] - losses[1]).abs() < 1e-6, "{losses:?}");
    for part in
        [Param::Embed, Param::Q, Param::V, Param::Out, Param::Gate, Param::Down, Param::Norm2]
    {
        let [own, expected, other] = [&mut mixed, &mut rounded, &mut full]
            .map(|trainer| block_on(trainer.read(TrainSlot::Gradient, part, 1)).unwrap());
        assert!(
            relative_error(&own, &expected) < 1e-5,
            "{part:?}: {}",
            relative_error(&own, &expected)
        );
        let other = relative_error(&own, &other);
        assert!(1e-5 < other && other.is_finite(), "{part:?} is not rounded to f16: {other}");
    }
    let values =
        |trainer: &mut Trainer| block_on(trainer.read(TrainSlot::Value, Param::Down, 0)).unwrap();
    let begun = values(&mut mixed);
    assert_eq!(begun, values(&mut full));
    // Steps that would be lost: an f16 value near 0.01 has neighbors 8e-6 away.
    for _ in 0..4 {
        for trainer in [&mut mixed, &mut full] {
            block_on(trainer.step(&batches, 1e-6)).unwrap();
        }
    }
    let (own, expected) = (values(&mut mixed), values(&mut full));
    let moved = relative_error(&own, &begun);
    assert!(1e-4 < moved && moved.is_finite(), "{moved}");
    assert!(relative_error(&own, &expected) < 2e-5, "{}", relative_error(&own, &expected));
}

/// A model without layers sees the last token alone: the best it can learn is the table of which token
/// follows which.
#[test]
fn a_model_without_layers_learns_the_bigrams_of_a_markov_source() {
    let vocab = 8_usize;
    // Each token has favorite successors.
    let weight = |from: usize, to: usize| (3.0 * uniform(21, (from * vocab + to) as u32)).exp();
    let total = |from: usize| (0..vocab).map(|to| weight(from, to)).sum::<f64>();
    let chance = |from: usize, to: usize| weight(from, to) / total(from);
    let mut tokens = vec![0_u32];
    for i in 0..20_000 {
        let (from, mut left) = (tokens[i] as usize, uniform(22, i as u32));
        let drawn = (0..vocab - 1).find(|to| {
            left -= chance(from, *to);
            left < 0.0
        });
        tokens.push(drawn.unwrap_or(vocab - 1) as u32);
    }
    let folder = tempfile::tempdir().unwrap();
    let sizes = Sizes { layers: 0, width: 32, heads: 1, vocab, context: 32, untied: true, ..SMALL };
    let initial = begin(folder.path(), &sizes, 1);
    let optimizer = Optimizer::AdamW { betas: [0.9, 0.95], eps: 1e-8, decay: 0.0 };
    let options = TrainOptions { batch: 8, context: 32, optimizer, dropout: 0.0, ..OPTIONS };
    let mut trainer = trainer(&initial, options);
    let data = Data::split(tokens.clone(), 0.1).unwrap();
    let schedule = Schedule { steps: 400, warmup: 20, peak_lr: 1e-2, ..Schedule::default() };
    for step in 0..schedule.steps {
        let batches = data.batches(&options, step, 1);
        block_on(trainer.step(&batches, schedule.lr(step))).unwrap();
    }
    // The validation loss is the source's own entropy.
    let pairs: Vec<(usize, usize)> =
        data.valid.ids.windows(2).map(|pair| (pair[0] as usize, pair[1] as usize)).collect();
    let own = pairs.iter().map(|(from, to)| -chance(*from, *to).ln()).sum::<f64>();
    let own = own / pairs.len() as f64;
    let loss = block_on(trainer.evaluate(&data.validation(&options, usize::MAX))).unwrap();
    println!("validation loss {loss:.4}, of the source {own:.4}");
    assert!((loss - own).abs() < 0.02, "{loss}, and the source has {own}");
}

#[path = "../../examples/induction.rs"]
#[allow(dead_code, reason = "the example has a main of its own")]
mod induction;

/// To predict what followed a token before, a head must find the token after its earlier occurrence:
/// the heads of one layer find tokens, those of two layers tokens after tokens. Elhage et al. 2021;
/// Olsson et al. 2022.
#[test]
fn two_layers_of_attention_learn_to_repeat_and_one_does_not() {
    let learn = |layers: usize| {
        let folder = tempfile::tempdir().unwrap();
        induction::learn(folder.path(), layers, 16, 300).unwrap()
    };
    let [one, two] = [1, 2].map(learn);
    println!("one layer {one:.3}, two layers {two:.3}, chance {:.3}", 32_f64.ln());
    assert!(two < 1.0, "two layers: {two}");
    assert!(one > 1.5, "one layer: {one}");
}

/// The exported folder is the model, in Hugging Face's layout.
#[test]
fn what_is_exported_opens_as_any_other_model() {
    let folder = tempfile::tempdir().unwrap();
    let initial = begin(&folder.path().join("new"), &Sizes { family: Family::Llama, ..SMALL }, 5);
    let mut trainer = trainer(&initial, OPTIONS);
    steps(&mut trainer, &small_data(), 2);
    for format in [Format::F32, Format::F16] {
        let place = folder.path().join(format.to_string());
        block_on(trainer.export(&place, &ModelFiles::of(&initial).unwrap(), format)).unwrap();
        let opened = Checkpoint::open(&place).unwrap();
        assert_eq!(opened.config(), &Config { ..initial.config().clone() });
        let matrix = opened.matrix(Param::Gate, 1).unwrap();
        assert_eq!(matrix.format, format);
        let own = block_on(trainer.read(TrainSlot::Value, Param::Gate, 1)).unwrap();
        let found = matrix.values(0..matrix.rows).unwrap();
        let furthest = furthest(&found, &own);
        assert!(furthest <= if format == Format::F32 { 0.0 } else { 1e-4 }, "{furthest}");
        let caps = trainer.engine().gpu().caps();
        assert!(Model::named(&opened, LoadOptions::default(), caps).is_ok());
    }
}
