//! Named values of small models, compared with the reference.

use std::fs;
use std::path::Path;

use pellucid::Error;
use pellucid::gpu::{AdapterChoice, BufferId};
use pellucid::hook::Hook;
use pellucid::inspect::compare;
use pellucid::measure::{furthest, relative_error};
use pellucid::model::{
    Action, Activation, Change, Edit, Row, Rows, Session, SessionOptions, Tape, copied, forward,
    hooks, offered,
};
use pellucid::ops::{Cache, CacheFormat};
use pellucid::reference::{Every, Model};
use pollster::block_on;
use serde_json::Value;

use super::{cases, checkpoint, folder, golden, ids, numbers, rows, session};

pub(super) fn open(case: &Path, options: SessionOptions) -> (Session, Model) {
    let checkpoint = checkpoint(case);
    let reference = Model::load(&checkpoint, &mut |_, _| {}).unwrap();
    (session(&checkpoint, &AdapterChoice::default(), options), reference)
}

/// The relative error over all but masked scores, which are −∞ on both sides; infinite if only one
/// side is masked.
pub(super) fn error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many values");
    let masked = |(x, y): (f32, f64)| (x, y) == (f32::NEG_INFINITY, f64::NEG_INFINITY);
    let pairs = found.iter().copied().zip(expected.iter().copied());
    let (found, expected): (Vec<f32>, Vec<f64>) = pairs.filter(|pair| !masked(*pair)).unzip();
    relative_error(&found, &expected)
}

/// Every value that the reference names, with its shape.
fn expected(model: &Model, cache: &mut pellucid::reference::Cache, tokens: &[u32]) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut every = Every(|hook, shape: &[usize], values: &mut [f64]| {
        all.push(Seen { hook, shape: shape.to_vec(), values: values.to_vec() });
    });
    model.forward(cache, tokens, &mut every).unwrap();
    // What queries, keys and values read apart is normed for each: the first counts.
    all.sort_by_key(|value: &Seen| value.hook.place());
    all.dedup_by_key(|value| value.hook);
    all
}

struct Seen {
    hook: Hook,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn check(name: &str, found: &[Activation], expected: &[Seen], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}: as many values");
    for (found, expected) in found.iter().zip(expected) {
        let hook = found.hook;
        assert_eq!((hook, &found.shape), (expected.hook, &expected.shape), "{name}");
        let error = error(&found.values, &expected.values);
        assert!(error <= tolerance, "{name}: {hook} is off by {error:.1e}");
    }
}

#[test]
fn every_value_of_every_family_is_the_references() {
    for (case, golden) in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (mut session, reference) = open(&case, SessionOptions::default());
        let tokens = ids(&golden["sequences"][0]["tokens"]);
        for count in [5, tokens.len()] {
            let tokens = &tokens[..count];
            let comparison = block_on(compare(&mut session, &reference, tokens, 1e-4)).unwrap();
            let names: Vec<Hook> = comparison.differences.iter().map(|d| d.hook).collect();
            assert_eq!(names, hooks(&reference.config), "{name}");
            assert_eq!(comparison.first(), None, "{name}, {count} tokens\n{comparison}");
            assert!(comparison.logits <= 1e-4, "{name}, {count} tokens\n{comparison}");
        }
        let found = block_on(session.values(&rows(&tokens, 0), &hooks(&reference.config))).unwrap();
        check(&name, &found, &expected(&reference, &mut reference.cache(), &tokens), 1e-4);
    }
}

/// Rows that follow others in the second of two sequences, whose caches hold different texts.
#[test]
fn values_of_later_rows_see_their_own_sequence() {
    for name in ["gpt2", "llama", "mistral", "qwen3-window", "gemma3", "neox"] {
        let options = SessionOptions { sequences: 2, ..SessionOptions::default() };
        let (mut session, reference) = open(&folder().join(name), options);
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        let other: Vec<u32> = tokens.iter().rev().copied().collect();
        block_on(session.fill(&rows(&other, 0))).unwrap();
        let all = rows(&tokens, 1);
        let (before, after) = all.split_at(6);
        block_on(session.fill(before)).unwrap();
        let found = block_on(session.values(after, &hooks(&reference.config))).unwrap();
        let mut cache = reference.cache();
        reference.forward(&mut cache, &tokens[..6], &mut ()).unwrap();
        check(name, &found, &expected(&reference, &mut cache, &tokens[6..]), 1e-4);
    }
}

#[test]
fn keys_in_f16_read_back_rounded() {
    let options = SessionOptions { cache: CacheFormat::F16, ..SessionOptions::default() };
    let (mut session, reference) = open(&folder().join("llama"), options);
    let tokens = ids(&golden("llama")["sequences"][0]["tokens"]);
    let found = block_on(session.values(&rows(&tokens, 0), &hooks(&reference.config))).unwrap();
    check("llama", &found, &expected(&reference, &mut reference.cache(), &tokens), 3e-3);
    let keys = found.iter().find(|a| a.hook == Hook::RotK(0)).unwrap();
    let rounded = |x: &f32| half::f16::from_f32(*x).to_f32() == *x;
    assert!(keys.values.iter().all(rounded));
}

#[test]
fn named_values_are_the_independent_engines() {
    for name in ["gpt2", "llama", "neox", "gptj", "gemma2"] {
        let (mut session, _) = open(&folder().join(name), SessionOptions::default());
        let golden = golden(name);
        let tokens = ids(&golden["sequences"][0]["tokens"]);
        for (hook, expected) in golden["hooks"].as_object().unwrap() {
            let hooks = [hook.parse().unwrap()];
            let found = block_on(session.values(&rows(&tokens, 0), &hooks)).unwrap();
            let values = &found[0].values;
            if let Some(head) = expected["head"].as_u64() {
                let end = (head as usize + 1) * tokens.len() * tokens.len();
                let row = &values[end - tokens.len()..end];
                assert!(error(row, &numbers(&expected["row"])) <= 1e-4, "{name} {hook}");
                continue;
            }
            let last = &values[values.len() - values.len() / tokens.len()..];
            let norm = last.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let first = numbers(&expected["first"]);
            let bound = 1e-4 * norm.max(1.0);
            assert!(
                furthest(&[norm], &[expected["norm"].as_f64().unwrap()]) <= bound,
                "{name} {hook}"
            );
            assert!(furthest(&last[..first.len()], &first) <= bound, "{name} {hook}");
        }
    }
}

/// The schedule of the forward page alone, with these values observed.
pub(super) fn schedule(session: &Session, count: usize, hooks: Option<&[Hook]>) -> String {
    let (model, selection) = (session.model(), session.selection());
    let heads = [model.config.kv_heads, model.config.head_width];
    let cache = || Cache::named(CacheFormat::F32, [1, 32], heads, u64::MAX);
    let caches: Vec<Cache> = (0..model.config.layers).map(|_| cache()).collect();
    let mut tape = hooks.map_or(Tape::new(selection), |hooks| Tape::with_hooks(selection, hooks));
    forward(&mut tape, model, &caches, Rows { buffer: BufferId::fresh(), count }).unwrap();
    tape.finish().0.to_string()
}

#[test]
fn without_hooks_the_recording_is_the_same_and_reading_adds_copies_at_most() {
    for name in ["gpt2", "gpt2-attn-only", "llama", "qwen3", "gemma2", "neox"] {
        let (mut session, reference) = open(&folder().join(name), SessionOptions::default());
        let all = hooks(&reference.config);
        let written: Vec<Hook> = all.iter().filter(|hook| copied(**hook)).copied().collect();
        for count in [1, 12] {
            let plain = schedule(&session, count, None);
            assert_eq!(schedule(&session, count, Some(&[])), plain);
            let with_reads = schedule(&session, count, Some(&written));
            let others = with_reads.lines().filter(|line| !line.contains(" gather "));
            // The stream is written a second time by what adds to it.
            let others = others.collect::<Vec<_>>().join("\n").replace("kept_copy", "kept_none");
            assert_eq!(others, plain.trim_end(), "{name}");
            assert_ne!(schedule(&session, count, Some(&all)), plain);
        }
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        let rows = rows(&tokens, 0);
        let plain = block_on(session.observe(&rows, &[])).unwrap();
        let reads =
            |hooks: &[Hook]| -> Vec<_> { hooks.iter().map(|hook| (*hook, Action::Read)).collect() };
        let watched = block_on(session.observe(&rows, &reads(&written))).unwrap();
        assert_eq!(watched.logits, plain.logits, "{name}: the same kernels give the same bits");
        let watched = block_on(session.observe(&rows, &reads(&all))).unwrap();
        let plain: Vec<f64> = plain.logits.iter().map(|x| f64::from(*x)).collect();
        assert!(error(&watched.logits, &plain) <= 1e-5, "{name}");
    }
}

#[test]
fn fused_and_unfused_attention_are_equal() {
    for name in ["gpt2-odd", "llama", "mistral", "qwen3-window", "gemma2", "gpt-neo"] {
        let (mut session, reference) = open(&folder().join(name), SessionOptions::default());
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        for rows in [&rows(&tokens, 0)[..], &rows(&tokens, 0)[tokens.len() - 2..]] {
            for layer in 0..reference.config.layers {
                let z = Hook::Z(layer);
                let fused = block_on(session.values(rows, &[z])).unwrap();
                let both = block_on(session.values(rows, &[Hook::Pattern(layer), z])).unwrap();
                let [pattern, unfused] = both.as_slice() else { panic!("two values") };
                assert_eq!((pattern.hook, unfused.hook), (Hook::Pattern(layer), z));
                let fused: Vec<f64> = fused[0].values.iter().map(|x| f64::from(*x)).collect();
                let error = error(&unfused.values, &fused);
                assert!(error <= 1e-5, "{name}: {z} is off by {error:.1e}");
                let rows = pattern.values.chunks(*pattern.shape.last().unwrap());
                let sums: Vec<f32> = rows.map(|row| row.iter().sum()).collect();
                assert!(furthest(&sums, &vec![1.0_f32; sums.len()]) < 1e-5, "{name}: {sums:?}");
            }
        }
    }
}

#[test]
fn a_value_that_a_model_does_not_have_is_an_error_that_says_why() {
    let unlike = [
        ("llama", Hook::PosEmbed, "rotates queries"),
        ("gpt2", Hook::RotQ(0), "learned positions"),
        ("gpt2", Hook::MlpPreLinear(0), "no gate"),
        ("gpt2-attn-only", Hook::ResidMid(0), "attention only"),
        ("gpt2-attn-only", Hook::MlpPreLinear(0), "attention only"),
        ("gpt2", Hook::Z(7), "2 layers"),
        ("neox", Hook::ResidMid(1), "in parallel"),
        ("gptj", Hook::PosEmbed, "rotates queries"),
        ("llama", Hook::Ln1PostScale(0), "output of attention is added without a norm"),
        ("llama", Hook::Ln2PostNormalized(0), "output of the MLP is added without a norm"),
        ("gpt2-attn-only", Hook::Ln2PostScale(0), "attention only"),
    ];
    for (name, hook, why) in unlike {
        let (mut session, reference) = open(&folder().join(name), SessionOptions::default());
        let error = block_on(session.values(&rows(&[1, 2], 0), &[hook])).unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error}");
        assert!(error.to_string().contains(&hook.to_string()), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(offered(&reference.config, hook).is_err());
        assert!(!hooks(&reference.config).contains(&hook));
    }
    let (mut session, _) = open(&folder().join("gpt2"), SessionOptions::default());
    assert_eq!(block_on(session.values(&[], &[Hook::Embed])).unwrap(), []);
}

/// A text runs in chunks of any size with the same values and logits, and edits of its positions.
#[test]
fn values_do_not_depend_on_how_a_text_is_cut() {
    for name in ["gpt2", "gemma2", "qwen3-window"] {
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        let rows = rows(&tokens, 0);
        let (mut whole, reference) = open(&folder().join(name), SessionOptions::default());
        let all = hooks(&reference.config);
        let mut actions: Vec<_> = all.iter().map(|hook| (*hook, Action::Read)).collect();
        let ones = vec![1.0; reference.config.width];
        let edit = Edit { positions: Some(2..6), ..Edit::all(Change::Add(ones)) };
        actions.push((Hook::ResidPost(0), Action::Edit(edit)));
        let expected = block_on(whole.observe(&rows, &actions)).unwrap();
        let plain = block_on(whole.observe(&rows, &[])).unwrap();
        assert_ne!(plain.logits, expected.logits);
        let width = reference.config.vocab;
        for chunk in [1, 5] {
            let options = SessionOptions { chunk: Some(chunk), ..SessionOptions::default() };
            let (mut session, _) = open(&folder().join(name), options);
            let found = block_on(session.observe(&rows, &actions)).unwrap();
            assert_eq!(found.activations.len(), expected.activations.len());
            for (found, expected) in found.activations.iter().zip(&expected.activations) {
                assert_eq!((found.hook, &found.shape), (expected.hook, &expected.shape), "{name}");
                let wide: Vec<f64> = expected.values.iter().map(|x| f64::from(*x)).collect();
                let error = error(&found.values, &wide);
                assert!(
                    error <= 1e-4,
                    "{name}, {chunk} rows: {} is off by {error:.1e}",
                    found.hook
                );
            }
            let wide: Vec<f64> = expected.logits.iter().map(|x| f64::from(*x)).collect();
            assert!(error(&found.logits, &wide) <= 1e-4, "{name}, {chunk} rows");
            let some = block_on(session.observe_rows(&rows, &actions, &[1, 4])).unwrap();
            let own = [&expected.logits[width..2 * width], &expected.logits[4 * width..5 * width]];
            let wide: Vec<f64> = own.concat().iter().map(|x| f64::from(*x)).collect();
            assert!(error(&some.logits, &wide) <= 1e-4, "{name}, {chunk} rows");
        }
        for unordered in [&[4, 1][..], &[rows.len()]] {
            assert!(block_on(whole.observe_rows(&rows, &[], unordered)).is_err());
        }
    }
}

/// A copy of a golden folder in which one tensor's numbers are a tenth larger.
fn damaged(name: &str, tensor: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder().join(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = copy.path().join("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let entry = &header[tensor];
    let [start, end] = [0, 1].map(|i| entry["data_offsets"][i].as_u64().unwrap() as usize);
    let values = &mut bytes[8 + length..][start..end];
    match entry["dtype"].as_str() {
        Some("F32") => {
            for value in values.as_chunks_mut::<4>().0 {
                *value = (f32::from_le_bytes(*value) * 1.1).to_le_bytes();
            }
        }
        Some("BF16") => {
            for value in values.as_chunks_mut::<2>().0 {
                *value =
                    (half::bf16::from_le_bytes(*value) * half::bf16::from_f32(1.1)).to_le_bytes();
            }
        }
        other => panic!("{tensor} is in {other:?}"),
    }
    fs::write(path, bytes).unwrap();
    copy
}

#[test]
fn comparing_names_the_first_value_that_differs() {
    let sabotaged = [
        ("gpt2", "transformer.h.1.mlp.c_fc.weight", Hook::MlpPre(1)),
        ("gpt2", "transformer.wpe.weight", Hook::PosEmbed),
        ("llama", "model.layers.0.self_attn.o_proj.weight", Hook::Result(0)),
        ("llama", "model.layers.1.mlp.up_proj.weight", Hook::MlpPreLinear(1)),
        ("qwen3", "model.layers.0.self_attn.k_norm.weight", Hook::KNormed(0)),
        ("gemma2", "model.layers.1.post_attention_layernorm.weight", Hook::AttnOut(1)),
        ("neox", "gpt_neox.layers.1.post_attention_layernorm.bias", Hook::MlpPre(1)),
    ];
    for (name, tensor, hook) in sabotaged {
        let (mut session, _) = open(&folder().join(name), SessionOptions::default());
        let copy = damaged(name, tensor);
        let other = Model::load(&checkpoint(copy.path()), &mut |_, _| {}).unwrap();
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        let comparison = block_on(compare(&mut session, &other, &tokens, 1e-4)).unwrap();
        assert_eq!(comparison.first(), Some(hook), "{name} {tensor}\n{comparison}");
        let named = format!("the first over 1e-4 is {hook}");
        assert!(comparison.to_string().ends_with(&named), "{comparison}");
    }
    let (mut session, _) = open(&folder().join("gpt2"), SessionOptions::default());
    let (_, other) = open(&folder().join("llama"), SessionOptions::default());
    let error = block_on(compare(&mut session, &other, &[1], 1e-4)).unwrap_err();
    assert!(matches!(error, Error::Input(_)), "{error}");
}

/// One cache cannot hold keys rotated in both ways, so the context in use decides.
#[test]
fn a_rotation_may_depend_on_the_context_in_use() {
    let tokens = ids(&golden("phi3-long")["sequences"][1]["tokens"]);
    let mut logits = Vec::new();
    for context in [20, 21, 40] {
        let options = SessionOptions { context: Some(context), ..SessionOptions::default() };
        let (mut session, reference) = open(&folder().join("phi3-long"), options);
        let comparison = block_on(compare(&mut session, &reference, &tokens, 1e-4)).unwrap();
        assert_eq!(comparison.first(), None, "a context of {context}\n{comparison}");
        logits.push(block_on(session.observe(&rows(&tokens, 0), &[])).unwrap().logits);
    }
    assert_eq!(logits[1], logits[2]);
    let long: Vec<f64> = logits[1].iter().map(|x| f64::from(*x)).collect();
    assert!(error(&logits[0], &long) > 0.01, "up to the original context the short divisors serve");
}

/// A single row, for tests of what a session refuses.
#[test]
fn rows_outside_the_session_are_refused_before_anything_runs() {
    let (mut session, _) = open(&folder().join("gpt2"), SessionOptions::default());
    let row = Row { token: u32::MAX, position: 0, sequence: 0, step: 0 };
    assert!(block_on(session.values(&[row], &[Hook::Embed])).is_err());
    let row = Row { token: 0, position: 0, sequence: 1, step: 0 };
    let error = block_on(session.observe(&[row], &[])).unwrap_err().to_string();
    assert!(error.contains("SessionOptions::sequences"), "{error}");
}

/// A row sees every position before it, so each of them must have been read.
#[test]
fn rows_that_leave_a_gap_are_refused() {
    let options = SessionOptions {
        sequences: 2,
        chunk: Some(2),
        context: Some(8),
        ..SessionOptions::default()
    };
    let (mut session, _) = open(&folder().join("gpt2"), options);
    let at = |positions: &[u32], sequence| -> Vec<Row> {
        let row = |&position| Row { token: 1, position, sequence, step: 0 };
        positions.iter().map(row).collect()
    };
    let refused = |session: &mut Session, rows: &[Row], part: &str| {
        let error = block_on(session.fill(rows)).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(&mut session, &at(&[1], 0), "position 1 of sequence 0, which holds 0 positions");
    // Rows that run together may be in any order; those of a later chunk come too late.
    refused(&mut session, &at(&[0, 3, 1, 2], 0), "position 3 of sequence 0, which holds 1");
    block_on(session.fill(&at(&[1, 0, 2], 0))).unwrap();
    refused(&mut session, &at(&[4], 0), "position 4 of sequence 0, which holds 3");
    refused(&mut session, &at(&[3], 1), "position 3 of sequence 1, which holds 0");
    block_on(session.score(&at(&[3], 0), &[1], None)).unwrap();
    assert!(block_on(session.score(&at(&[5], 0), &[1], None)).is_err());
    block_on(session.observe(&at(&[4], 0), &[])).unwrap();
    // A new text begins; what is left of the old one is none of it.
    block_on(session.fill(&at(&[0, 1], 0))).unwrap();
    refused(&mut session, &at(&[4], 0), "position 4 of sequence 0, which holds 2");
    block_on(session.fill(&at(&[2], 0))).unwrap();
}
