//! Small models of every family against log-probabilities of an independent engine.

use std::path::{Path, PathBuf};

use pellucid::gpu::{AdapterChoice, Engine, Gpu};
use pellucid::model::{LoadOptions, Model, Row, Session, SessionOptions};
use pellucid::ops::Choices;
use pellucid::weights::Checkpoint;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models")
}

/// The model of a case: a GGUF file in its folder, or the folder itself.
fn checkpoint(case: &Path) -> Checkpoint {
    let gguf = std::fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    Checkpoint::open(gguf.as_deref().unwrap_or(case)).unwrap()
}

fn session(checkpoint: &Checkpoint, choice: &AdapterChoice, options: SessionOptions) -> Session {
    let gpu = pollster::block_on(Gpu::open(choice)).unwrap();
    let choices = Choices::defaults(gpu.caps());
    let mut engine = Engine::new(gpu);
    let model =
        Model::load(&mut engine, checkpoint, LoadOptions::default(), &mut |_, _| {}).unwrap();
    Session::new(engine, model, choices, options).unwrap()
}

fn rows(tokens: &[u32], sequence: u32) -> Vec<Row> {
    (0..).zip(tokens).map(|(position, &token)| Row { token, position, sequence, step: 0 }).collect()
}

fn score(session: &mut Session, tokens: &[u32]) -> Vec<f32> {
    let last = tokens.len() - 1;
    pollster::block_on(session.score(&rows(&tokens[..last], 0), &tokens[1..])).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn cases() -> Vec<(PathBuf, Value)> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("golden.json").exists() && !path.ends_with("smollm2"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 15, "the golden models are missing");
    cases
        .into_iter()
        .map(|case| {
            let text = std::fs::read_to_string(case.join("golden.json")).unwrap();
            (case, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn furthest(found: &[f32], golden: &Value) -> f64 {
    let golden = golden.as_array().unwrap();
    assert_eq!(found.len(), golden.len(), "as many log-probabilities");
    found
        .iter()
        .zip(golden)
        .map(|(found, golden)| (f64::from(*found) - golden.as_f64().unwrap()).abs())
        .fold(0.0, f64::max)
}

#[test]
fn log_probabilities_of_every_family() {
    let mut failed = Vec::new();
    for (case, golden) in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let checkpoint = checkpoint(&case);
        for chunk in [1, 5, 128] {
            let options = SessionOptions { chunk: Some(chunk), ..SessionOptions::default() };
            let mut session = session(&checkpoint, &AdapterChoice::default(), options);
            for sequence in golden["sequences"].as_array().unwrap() {
                let found = score(&mut session, &ids(&sequence["tokens"]));
                let error = furthest(&found, &sequence["logprobs"]);
                println!("{name} in chunks of {chunk}: {error:.1e}");
                if error.is_nan() || error > 1e-3 {
                    failed.push(format!("{name} in chunks of {chunk}: off by {error}"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
