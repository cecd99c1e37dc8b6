//! Training steps of whole models, compared with `PyTorch`'s results for the same steps.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use pellucid::checkpoint::{Checkpoint, TensorLayout, read_safetensors};
use pellucid::format::Format;
use pellucid::measure::{furthest, largest};
use pellucid::select::{KernelSelection, Matmul};
use pellucid::train::{Batch, Optimizer, TrainOptions, TrainSlot, Trainer};
use serde_json::Value;

use super::{folder, gpu, ids, numbers, read_json};

/// Relative errors that sums in f32 may cause.
const LOSS: f64 = 1e-4;
const GRADIENT: f64 = 1e-3;

pub(super) fn trainer(checkpoint: &Checkpoint, options: TrainOptions) -> Trainer {
    trainer_with(checkpoint, options, None)
}

/// With this kind of matmul, instead of the device's best.
fn trainer_with(checkpoint: &Checkpoint, options: TrainOptions, matmul: Option<Matmul>) -> Trainer {
    let gpu = gpu();
    let mut selection = KernelSelection::defaults(gpu.caps());
    selection.matmul = matmul.unwrap_or(selection.matmul);
    pollster::block_on(Trainer::open(gpu, checkpoint, options, selection, |_| {})).unwrap()
}

fn goldens() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    assert!(paths.len() >= 7, "the goldens of training are missing");
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (name, read_json(&path))
    };
    paths.into_iter().map(read).collect()
}

fn options(golden: &Value) -> TrainOptions {
    let number = |name: &str| golden[name].as_f64().unwrap();
    let betas = [0, 1].map(|i| golden["betas"][i].as_f64().unwrap());
    TrainOptions {
        batch: golden["batch"].as_u64().unwrap() as usize,
        context: golden["context"].as_u64().unwrap() as usize,
        optimizer: Optimizer::AdamW { betas, eps: number("eps"), decay: number("decay") },
        clip: number("clip"),
        dropout: 0.0,
        seed: 0,
        mixed: false,
    }
}

fn batches(step: &Value) -> Vec<Batch> {
    let batch = |b: &Value| Batch { tokens: ids(&b["tokens"]), targets: ids(&b["targets"]) };
    step.as_array().unwrap().iter().map(batch).collect()
}

/// What is stored for every tensor, by its name in the model's file.
fn by_name(
    trainer: &mut Trainer,
    checkpoint: &Checkpoint,
    slot: TrainSlot,
) -> HashMap<String, Vec<f32>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    TensorLayout::of(checkpoint)
        .unwrap()
        .write(&file, Format::F32, &mut |part, layer| {
            pollster::block_on(trainer.read(slot, part, layer))
        })
        .unwrap();
    read_safetensors(&file).unwrap()
}

/// The largest error of any number, each relative to its own size.
fn relative(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many numbers");
    largest(found.iter().zip(expected).map(|(found, golden)| (found - golden).abs() / golden))
}

/// The tensors whose gradients are not `PyTorch`'s.
fn unlike(found: &HashMap<String, Vec<f32>>, golden: &Value) -> Vec<String> {
    let golden = golden.as_object().unwrap();
    assert_eq!(found.len(), golden.len(), "other tensors");
    let mut wrong = Vec::new();
    for (tensor, golden) in golden {
        let gradient = &found[tensor];
        let number = |value: &Value| value.as_f64().unwrap();
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let expected = number(&golden["norm"]);
        let pairs = golden["values"].as_array().unwrap();
        let at = |pair: &Value| gradient[pair[0].as_u64().unwrap() as usize];
        let own: Vec<f32> = pairs.iter().map(at).collect();
        let values: Vec<f64> = pairs.iter().map(|pair| number(&pair[1])).collect();
        let worst = largest([furthest(&[norm], &[expected]), furthest(&own, &values)]);
        // The gradient of a key bias is 0 apart from rounding.
        if worst > GRADIENT * expected + 1e-6 {
            wrong.push(format!("the gradient of {tensor} by {worst:.1e} of {expected:.1e}"));
        }
    }
    wrong
}

#[test]
fn gradients_and_ten_steps_are_pytorchs() {
    let mut failed = Vec::new();
    // Straight from storage, and one model of each family through workgroup memory too.
    let ways = |name: &str| match name {
        "gpt2" | "llama" => vec![Matmul::Direct { n: 8, t: 1 }, Matmul::Tiled],
        _ => vec![Matmul::Direct { n: 8, t: 1 }],
    };
    let runs = goldens().into_iter().flat_map(|(name, golden)| {
        ways(&name).into_iter().map(move |way| (name.clone(), golden.clone(), way))
    });
    for (name, golden, matmul) in runs {
        let checkpoint = Checkpoint::open(&folder().join(&name)).unwrap();
        let mut trainer = trainer_with(&checkpoint, options(&golden), Some(matmul));
        let rate = golden["rate"].as_f64().unwrap();
        let mut found = [Vec::new(), Vec::new()];
        for (index, step) in golden["batches"].as_array().unwrap().iter().enumerate() {
            let loss = pollster::block_on(trainer.add_gradients(&batches(step))).unwrap();
            if index == 0 {
                let gradients = by_name(&mut trainer, &checkpoint, TrainSlot::Gradient);
                let wrong = unlike(&gradients, &golden["gradients"]);
                failed.extend(wrong.into_iter().map(|wrong| format!("{name}: {wrong}")));
            }
            let norm = pollster::block_on(trainer.update(rate, loss)).unwrap();
            found[0].push(loss);
            found[1].push(norm);
        }
        let expected = ["losses", "norms"].map(|key| numbers(&golden[key]));
        let worst = [0, 1].map(|i| relative(&found[i], &expected[i]));
        println!("{name}, {matmul:?}: losses off by {:.1e}, norms by {:.1e}", worst[0], worst[1]);
        if worst[0] > LOSS || worst[1] > GRADIENT {
            failed.push(format!("{name}: losses and norms by {worst:?}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
