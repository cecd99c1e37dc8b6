//! The reference on the golden models, compared with an independent engine and with itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tests::assert_close;
use super::{Every, Model, Observer, log_softmax, top_k};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::hook::Hook;

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models");

/// Every golden model: its name, the model and its golden.json.
fn models() -> Vec<(String, Model, Value)> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(MODELS).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let models: Vec<_> = folders.iter().filter_map(|folder| open(folder)).collect();
    assert!(!models.is_empty(), "{MODELS} holds no model");
    models
}

/// A folder's model; `None` if it has only a golden, because the weights are published elsewhere.
fn open(folder: &Path) -> Option<(String, Model, Value)> {
    let golden = fs::read_to_string(folder.join("golden.json")).ok()?;
    let file = ["model.gguf", "config.json"].map(|name| folder.join(name));
    let checkpoint = match file.each_ref().map(|file| file.exists()) {
        [true, _] => Checkpoint::open(&file[0]).unwrap(),
        [_, true] => Checkpoint::open(folder).unwrap(),
        _ => return None,
    };
    let mut last = (0, 0);
    let model = Model::load(&checkpoint, &mut |done, total| last = (done, total)).unwrap();
    assert!(last.0 == last.1 && last.1 > 0, "{folder:?}: progress ended at {last:?}");
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    Some((name, model, serde_json::from_str(&golden).unwrap()))
}

fn model(name: &str) -> Model {
    open(&Path::new(MODELS).join(name)).unwrap().1
}

fn ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    value.as_array().unwrap().iter().map(id).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

/// Logits of a fresh sequence.
fn run(model: &Model, tokens: &[u32], observer: &mut dyn Observer) -> Vec<f64> {
    model.forward(&mut model.cache(), tokens, observer).unwrap()
}

/// Fails unless every value is within `tolerance` of the expected one.
#[track_caller]
fn assert_near(name: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = got == expected || (got - expected).abs() <= tolerance;
        assert!(near, "{name}: value {i}: {got} is not {expected}");
    }
}

/// Collects the value of one hook.
struct Gather(Hook, Vec<f64>);

impl Observer for Gather {
    fn wants(&self, hook: Hook) -> bool {
        hook == self.0
    }

    fn see(&mut self, _: Hook, _: &[usize], values: &mut [f64]) {
        self.1 = values.to_vec();
    }
}

#[test]
fn log_probabilities_and_best_tokens_are_the_goldens() {
    for (name, model, golden) in models() {
        for sequence in golden["sequences"].as_array().unwrap() {
            let tokens = ids(&sequence["tokens"]);
            let vocab = model.config.vocab;
            let logits = run(&model, &tokens, &mut ());
            let all = log_softmax(&logits, vocab);
            let next = tokens[1..].iter().enumerate();
            let got: Vec<f64> = next.map(|(t, &id)| all[t * vocab + id as usize]).collect();
            assert_near(&name, &got, &numbers(&sequence["logprobs"]), 1e-4);
            for place in sequence["top"].as_array().unwrap() {
                let row = usize::try_from(place[0].as_u64().unwrap()).unwrap() * vocab;
                let expected = place[1].as_array().unwrap();
                let best = top_k(&logits[row..row + vocab], expected.len());
                for ((id, logprob), expected) in best.iter().zip(expected) {
                    assert_eq!(u64::from(*id), expected[0], "{name}");
                    assert_near(&name, &[*logprob], &[expected[1].as_f64().unwrap()], 1e-4);
                }
            }
        }
    }
}

#[test]
fn logits_of_some_rows_are_those_of_all() {
    for (name, model, golden) in models() {
        let tokens = ids(&golden["sequences"][0]["tokens"]);
        let vocab = model.config.vocab;
        let all = run(&model, &tokens, &mut ());
        let rows = [1, 0, tokens.len() - 1];
        let found = model.forward_of(&mut model.cache(), &tokens, &rows, &mut ()).unwrap();
        let expected = rows.map(|row| &all[row * vocab..][..vocab]).concat();
        assert_near(&name, &found, &expected, 1e-12);
    }
}

#[test]
fn greedy_text_is_the_goldens_token_by_token() {
    for (name, model, golden) in models() {
        let mut cache = model.cache();
        let mut new = ids(&golden["greedy"]["prompt"]);
        for expected in ids(&golden["greedy"]["tokens"]) {
            let logits = model.forward_last(&mut cache, &new, &mut ()).unwrap();
            new = vec![top_k(&logits, 1)[0].0];
            assert_eq!(new, [expected], "{name} after {} tokens", cache.len());
        }
    }
}

#[test]
fn named_values_are_the_goldens() {
    let mut compared = 0;
    for (name, model, golden) in models() {
        let Some(hooks) = golden["hooks"].as_object() else { continue };
        let tokens = ids(&golden["sequences"][0]["tokens"]);
        for (hook_name, expected) in hooks {
            let mut gather = Gather(hook_name.parse().unwrap(), Vec::new());
            run(&model, &tokens, &mut gather);
            let values = gather.1;
            let name = format!("{name} {hook_name}");
            if let Some(head) = expected["head"].as_u64() {
                let last = (usize::try_from(head).unwrap() + 1) * tokens.len() * tokens.len();
                let row = &values[last - tokens.len()..last];
                assert_near(&name, row, &numbers(&expected["row"]), 1e-5);
            } else {
                let width = values.len() / tokens.len();
                let last = &values[values.len() - width..];
                let norm = last.iter().map(|x| x * x).sum::<f64>().sqrt();
                let mean = last.iter().sum::<f64>() / width as f64;
                let scale = 1e-5 * norm.max(1.0);
                assert_near(&name, &last[..4], &numbers(&expected["first"]), scale);
                let expected = [&expected["norm"], &expected["mean"]].map(|x| x.as_f64().unwrap());
                assert_near(&name, &[norm, mean], &expected, scale);
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "no golden holds hooks");
}

#[test]
fn any_chunking_gives_the_same_logits_and_truncation_is_complete() {
    for (name, model, golden) in models() {
        let tokens = ids(&golden["sequences"][0]["tokens"]);
        let vocab = model.config.vocab;
        let whole = run(&model, &tokens, &mut ());
        for chunk in [1, 5] {
            let mut cache = model.cache();
            let chunks = tokens.chunks(chunk);
            let forward = |new| model.forward(&mut cache, new, &mut ()).unwrap();
            let pieces: Vec<f64> = chunks.flat_map(forward).collect();
            assert_near(&name, &pieces, &whole, 1e-9);
            cache.truncate(3);
            let again = model.forward_last(&mut cache, &tokens[3..7], &mut ()).unwrap();
            assert_near(&name, &again, &whole[6 * vocab..7 * vocab], 1e-9);
        }
    }
}

#[test]
fn hooks_come_in_order_and_observing_changes_nothing() {
    for (name, model, golden) in models() {
        let tokens = ids(&golden["sequences"][1]["tokens"]);
        let mut seen = Vec::new();
        let looked =
            run(&model, &tokens, &mut Every(|hook, _: &[usize], _: &mut [f64]| seen.push(hook)));
        // Here every value is computed, including the pattern and the results per head.
        assert_near(&name, &looked, &run(&model, &tokens, &mut ()), 1e-9);
        // Of values that are computed for several branches the first counts.
        let mut once = std::collections::HashSet::new();
        seen.retain(|hook: &Hook| once.insert(*hook));
        let mut known = Hook::all(model.config.layers).into_iter();
        for hook in &seen {
            assert!(known.any(|next| next == *hook), "{name}: {hook} is out of order");
        }
        let in_layer = seen.iter().filter(|hook| hook.layer() == Some(0)).count();
        let counts =
            [("gpt2", 23), ("gpt2-attn-only", 16), ("llama", 26), ("gemma2", 32), ("neox", 24)];
        for (known, hooks) in counts {
            assert!(name != known || in_layer == hooks, "{name}: {in_layer} hooks in a layer");
        }
    }
}

#[test]
fn the_stream_is_the_sum_of_what_is_written_to_it() {
    for (name, model, golden) in models() {
        let tokens = ids(&golden["sequences"][1]["tokens"]);
        let (mut sum, mut last) = (Vec::new(), Vec::new());
        run(
            &model,
            &tokens,
            &mut Every(|hook, _: &[usize], values: &mut [f64]| match hook {
                Hook::Embed => sum = values.to_vec(),
                Hook::PosEmbed | Hook::AttnOut(_) | Hook::MlpOut(_) => {
                    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
                }
                Hook::ResidPost(_) => last = values.to_vec(),
                _ => {}
            }),
        );
        assert_near(&name, &sum, &last, 1e-9);
    }
}

#[test]
fn an_edit_of_any_value_reaches_the_logits() {
    for name in ["gpt2", "llama", "gemma2", "neox"] {
        let model = model(name);
        let tokens = [5, 3, 8, 1];
        let plain = run(&model, &tokens, &mut ());
        let mut hooks = Vec::new();
        run(&model, &tokens, &mut Every(|hook, _: &[usize], _: &mut [f64]| hooks.push(hook)));
        for hook in hooks {
            let edited = run(
                &model,
                &tokens,
                &mut Every(|seen, _: &[usize], values: &mut [f64]| {
                    if seen == hook {
                        values.iter_mut().enumerate().for_each(|(i, x)| *x += 0.1 + (i % 3) as f64);
                    }
                }),
            );
            assert_ne!(plain, edited, "{name} {hook}");
        }
    }
}

#[test]
fn replacing_a_value_by_another_runs_gives_the_other_run() {
    let model = model("llama");
    let (clean, other) = ([5, 3, 8, 1], [5, 3, 7, 1]);
    let mut gather = Gather(Hook::ResidMid(0), Vec::new());
    let expected = run(&model, &other, &mut gather);
    let patched = run(
        &model,
        &clean,
        &mut Every(|hook, _: &[usize], values: &mut [f64]| {
            if hook == Hook::ResidMid(0) {
                values.copy_from_slice(&gather.1);
            }
        }),
    );
    assert_close(&patched, &expected, 1e-12);
}

#[test]
fn bad_tokens_are_errors_that_leave_the_cache() {
    let model = model("gpt2");
    let mut cache = model.cache();
    model.forward(&mut cache, &[1, 2], &mut ()).unwrap();
    let outside = u32::try_from(model.config.vocab).unwrap();
    let error = model.forward(&mut cache, &[1, outside], &mut ()).unwrap_err();
    assert!(matches!(&error, Error::Input(reason) if reason.contains(&outside.to_string())));
    let limit = model.config.context;
    let error = model.forward(&mut cache, &vec![0; limit - 1], &mut ()).unwrap_err();
    assert!(
        matches!(error, Error::Context { asked, limit: l } if asked == limit + 1 && l == limit)
    );
    assert!(matches!(model.forward_last(&mut cache, &[], &mut ()), Err(Error::Input(_))));
    assert_eq!(cache.len(), 2);
    assert!(model.forward(&mut cache, &vec![0; limit - 2], &mut ()).is_ok());
    let mut foreign = super::Cache::new(model.config.layers + 1, model.config.kv_width(), 9);
    assert!(matches!(model.forward(&mut foreign, &[1], &mut ()), Err(Error::Input(_))));
}
