//! Small models of every family, compared with the log-probabilities of an independent engine.

#[path = "conformance/built_in.rs"]
mod built_in;
mod common;
#[path = "conformance/edits.rs"]
mod edits;
#[path = "conformance/every_hook.rs"]
mod every_hook;
#[path = "conformance/generate.rs"]
mod generate;
#[path = "conformance/hooks.rs"]
mod hooks;
#[path = "conformance/identities.rs"]
mod identities;
#[path = "conformance/inspect.rs"]
mod inspect;
#[path = "conformance/learn.rs"]
mod learn;
#[path = "conformance/not_finite.rs"]
mod not_finite;
#[path = "conformance/own.rs"]
mod own;
#[path = "conformance/own_op.rs"]
mod own_op;
#[path = "conformance/refused.rs"]
mod refused;
#[path = "conformance/saved.rs"]
mod saved;
#[path = "conformance/several.rs"]
mod several;
#[path = "conformance/sweeps.rs"]
mod sweeps;
#[path = "conformance/train.rs"]
mod train;
#[path = "conformance/transformer_lens.rs"]
mod transformer_lens;

use std::path::{Path, PathBuf};

use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{AdapterChoice, Engine, Gpu};
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{Activation, LoadOptions, Model, Session, SessionOptions, offered, rows};
use pellucid::ops::{Cache, CacheFormat};
use pellucid::select::{AttentionTiling, KernelSelection, Lanes, LanesKind, Matmul, Reduce};
use serde_json::Value;

use common::{backend, golden, gpu, gpu_with, ids, models as folder, numbers, read_json};

/// The model of a case: a GGUF file in its folder, or the folder itself.
fn checkpoint(case: &Path) -> Checkpoint {
    let gguf = std::fs::read_dir(case)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    Checkpoint::open(gguf.as_deref().unwrap_or(case)).unwrap()
}

fn session(checkpoint: &Checkpoint, choice: &AdapterChoice, options: SessionOptions) -> Session {
    let opening =
        Session::open(gpu_with(choice), checkpoint, &options, SelectionPolicy::built_in(), |_| {});
    pollster::block_on(opening).unwrap()
}

/// With these variants, and without the memory plan: a session that only reads may fit where one that
/// draws from all its sequences does not.
fn session_with(
    gpu: Gpu,
    selection: KernelSelection,
    checkpoint: &Checkpoint,
    options: SessionOptions,
) -> Session {
    let mut engine = Engine::new(gpu);
    let load = LoadOptions::default();
    let model = Model::load(&mut engine, checkpoint, load, &mut |_, _| {}).unwrap();
    Session::new(engine, model, selection, options).unwrap()
}

fn score(session: &mut Session, tokens: &[u32]) -> Vec<f32> {
    let last = tokens.len() - 1;
    pollster::block_on(session.score(&rows(&tokens[..last], 0), &tokens[1..], None))
        .unwrap()
        .logprobs
}

fn cases() -> Vec<(PathBuf, Value)> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("golden.json").exists() && !path.ends_with("smollm2"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 30, "the golden models are missing");
    cases
        .into_iter()
        .map(|case| {
            let golden = read_json(&case.join("golden.json"));
            (case, golden)
        })
        .collect()
}

// One test per chunking, so that they run in parallel.
#[test]
fn log_probabilities_of_every_family_step_by_step() {
    log_probabilities_of_every_family(1);
}

#[test]
fn log_probabilities_of_every_family_in_small_chunks() {
    log_probabilities_of_every_family(5);
}

#[test]
fn log_probabilities_of_every_family_at_once() {
    log_probabilities_of_every_family(128);
}

fn log_probabilities_of_every_family(chunk: usize) {
    let mut failed = Vec::new();
    for (case, golden) in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let checkpoint = checkpoint(&case);
        let options = SessionOptions { chunk: Some(chunk), ..SessionOptions::default() };
        let mut session = session(&checkpoint, &AdapterChoice::default(), options);
        for sequence in golden["sequences"].as_array().unwrap() {
            let found = score(&mut session, &ids(&sequence["tokens"]));
            let error = furthest(&found, &numbers(&sequence["logprobs"]));
            println!("{name} in chunks of {chunk}: {error:.1e}");
            if error > 1e-3 {
                failed.push(format!("{name} in chunks of {chunk}: off by {error}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Several sequences in one batch of ragged rows score the same as each alone.
#[test]
fn batches_equal_single_sequences() {
    for case in ["gpt2", "llama", "mistral", "qwen3", "gemma3", "phi3", "gptj"] {
        let (case, golden) = (folder().join(case), golden(case));
        let checkpoint = checkpoint(&case);
        let texts: Vec<Vec<u32>> =
            golden["sequences"].as_array().unwrap().iter().map(|s| ids(&s["tokens"])).collect();
        let options = SessionOptions { sequences: texts.len(), ..SessionOptions::default() };
        let mut session = session(&checkpoint, &AdapterChoice::default(), options);
        let alone: Vec<f32> = texts.iter().flat_map(|tokens| score(&mut session, tokens)).collect();
        let mut batch = Vec::new();
        let mut targets = Vec::new();
        for (sequence, tokens) in (0..).zip(&texts) {
            batch.extend(rows(&tokens[..tokens.len() - 1], sequence));
            targets.extend(&tokens[1..]);
        }
        let together = pollster::block_on(session.score(&batch, &targets, None)).unwrap().logprobs;
        let error = furthest(&together, &alone);
        assert!(error < 1e-4, "{}: off by {error}", case.display());
    }
}

/// Tensors over the binding limit are split by rows, and nothing else changes.
#[test]
fn tensors_over_the_binding_limit_are_split() {
    for case in ["gpt2", "llama", "gguf-llama"] {
        let (case, golden) = (folder().join(case), golden(case));
        let checkpoint = checkpoint(&case);
        let choice = AdapterChoice { max_binding: Some(40 << 10), ..AdapterChoice::default() };
        let mut session = session(
            &checkpoint,
            &choice,
            SessionOptions { chunk: Some(12), ..SessionOptions::default() },
        );
        let parts = session.model().embed.shards.len();
        let bytes = session.model().embed.bytes();
        assert!(parts > 1 || bytes <= 40 << 10, "{} bytes in one part", bytes);
        let sequence = &golden["sequences"][0];
        let found = score(&mut session, &ids(&sequence["tokens"]));
        let error = furthest(&found, &numbers(&sequence["logprobs"]));
        assert!(error < 1e-3, "{}: off by {error}", case.display());
    }
}

/// The real model that anyone can fetch, compared with an engine that reads the same file.
#[test]
fn smollm2_scores_as_the_independent_engine_says() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    let golden = golden("smollm2");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let options = SessionOptions { context: Some(512), ..SessionOptions::default() };
    let mut session = session(&checkpoint, &AdapterChoice::default(), options);
    let sequence = &golden["sequences"][0];
    // SwiftShader is several times slower: it reads the first 64 tokens.
    let short = std::env::var("PELLUCID_TEST_ADAPTER").is_ok_and(|name| name == "swiftshader");
    let tokens = ids(&sequence["tokens"]);
    let count = if short { 64 } else { tokens.len() };
    let expected = &numbers(&sequence["logprobs"])[..count - 1];
    let error = furthest(&score(&mut session, &tokens[..count]), expected);
    println!("SmolLM2: {error:.1e}");
    assert!(error < 1e-3, "off by {error}");
}

/// The variants that a real GPU would run are right here too: shared tiles, lanes that share rows,
/// subgroups of any size; and f16, where it is allowed, stays within its bound.
#[test]
fn the_variants_of_other_adapters_agree() {
    for case in ["gpt2", "gguf-llama"] {
        let (case, golden) = (folder().join(case), golden(case));
        let checkpoint = checkpoint(&case);
        for chunk in [3, 128] {
            for (selection, bound) in others(&gpu()) {
                let options = SessionOptions { chunk: Some(chunk), ..SessionOptions::default() };
                let name = format!("{} in chunks of {chunk}: {selection:?}", case.display());
                let mut session = session_with(gpu(), selection, &checkpoint, options);
                let sequence = &golden["sequences"][0];
                let found = score(&mut session, &ids(&sequence["tokens"]));
                let error = furthest(&found, &numbers(&sequence["logprobs"]));
                println!("{error:.1e} {name}");
                assert!(error < bound, "off by {error}: {name}");
            }
        }
    }
}

/// Selections that other adapters make, if this one can run them, and the error that each may have.
fn others(gpu: &Gpu) -> Vec<(KernelSelection, f64)> {
    let defaults = KernelSelection::defaults(gpu.caps());
    let plain = KernelSelection {
        matmul: Matmul::Tiled,
        attention: AttentionTiling::Tiled,
        chunk: 64,
        lanes: Lanes { kind: LanesKind::Workgroup, size: 64, lanes: 32 },
        reduce: Reduce::Workgroup(64),
        ..defaults.clone()
    };
    let mut all = vec![(plain, 1e-3)];
    if let Some((least, _)) = gpu.caps().subgroups {
        let reduce = Reduce::AcrossSubgroups { size: 256, least };
        let lanes = Lanes { kind: LanesKind::AcrossSubgroups, size: 64, lanes: 32 };
        all.push((KernelSelection { reduce, lanes, ..defaults.clone() }, 1e-3));
    }
    if gpu.caps().f16 {
        all.push((KernelSelection { matmul: Matmul::TiledF16, ..defaults }, 5e-2));
    }
    all
}

/// The scores of a session with this many sequences for texts in one batch, and the named values of
/// its first rows.
fn batch(
    checkpoint: &Checkpoint,
    texts: &[Vec<u32>],
    choice: &AdapterChoice,
    attention: AttentionTiling,
    options: SessionOptions,
) -> (Vec<f32>, Vec<Activation>) {
    let gpu = gpu_with(choice);
    let selection = KernelSelection { attention, ..KernelSelection::defaults(gpu.caps()) };
    let mut session = session_with(gpu, selection, checkpoint, options);
    let (mut batch, mut targets) = (Vec::new(), Vec::new());
    for (sequence, tokens) in (0..).zip(texts) {
        batch.extend(rows(&tokens[..tokens.len() - 1], sequence));
        targets.extend(&tokens[1..]);
    }
    let scored = pollster::block_on(session.score(&batch, &targets, None)).unwrap();
    batch.truncate(options.chunk.unwrap());
    let turned = [Hook::RotK(0), Hook::RotQ(1)];
    let mut named = vec![Hook::AttnScores(0), Hook::Pattern(0), Hook::Z(0), Hook::Z(1)];
    named.extend(turned.iter().filter(|hook| offered(checkpoint.config(), **hook).is_ok()));
    let values = pollster::block_on(session.values(&batch, &named)).unwrap();
    (scored.logprobs, values)
}

/// A cache over the binding limit is split by position, and nothing else changes: for batches, few
/// rows and many, windows, f16, and named values.
#[test]
fn caches_over_the_binding_limit_are_split() {
    const LIMIT: u64 = 256 << 10;
    for (name, cache) in [
        ("gpt2", CacheFormat::F32),
        ("llama", CacheFormat::F32),
        ("llama", CacheFormat::F16),
        ("mistral", CacheFormat::F32),
        ("qwen3-window", CacheFormat::F32),
    ] {
        let (case, golden) = (folder().join(name), golden(name));
        let checkpoint = checkpoint(&case);
        let mut texts: Vec<Vec<u32>> =
            golden["sequences"].as_array().unwrap().iter().map(|s| ids(&s["tokens"])).collect();
        texts.extend(texts.clone());
        // Enough sequences that eight positions fill a binding.
        let config = checkpoint.config();
        let heads = [config.kv_heads, config.head_width];
        let alone = Cache::named(cache, [1, config.context], heads, u64::MAX);
        let sequences = (LIMIT / alone.position_bytes() / 8) as usize;
        let parts = Cache::named(cache, [sequences, config.context], heads, LIMIT).shards.len();
        assert!(parts > 3, "{name}: {parts} parts");
        let lowered = AdapterChoice { max_binding: Some(LIMIT), ..AdapterChoice::default() };
        for (chunk, attention) in [
            (3, AttentionTiling::Direct),
            (80, AttentionTiling::Direct),
            (80, AttentionTiling::Tiled),
        ] {
            let options =
                SessionOptions { sequences, chunk: Some(chunk), cache, ..Default::default() };
            let run =
                |choice: &AdapterChoice| batch(&checkpoint, &texts, choice, attention, options);
            let (whole, values) = run(&AdapterChoice::default());
            let (split, others) = run(&lowered);
            // Keys of later layers that lie between two f16 values may be rounded either way.
            let half = if cache == CacheFormat::F16 { 10.0 } else { 1.0 };
            assert_eq!(values.len(), others.len(), "{name}: as many values");
            for (value, other) in values.iter().zip(&others) {
                let bound = if value.hook.layer() == Some(0) { 1e-5 } else { 1e-4 * half };
                let gap = furthest(&value.values, &other.values);
                println!("{name} {cache:?} {attention:?} {chunk}: {} {gap:.1e}", value.hook);
                assert!(gap < bound, "{name} {cache:?}, {chunk} rows: {} by {gap}", value.hook);
            }
            let gap = furthest(&whole, &split);
            println!("{name} {cache:?} {attention:?} {chunk}: {gap:.1e}");
            assert!(gap < 1e-4 * half, "{name} {cache:?}, {chunk} rows: off by {gap}");
        }
    }
}
