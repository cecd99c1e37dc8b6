//! Analyses, and values and edits of generations: the device against the reference, and identities.

use std::ops::ControlFlow;

use pellucid::generate::{Backend, Generation, Llm, Options, Request};
use pellucid::hook::{Hook, Point};
use pellucid::inspect::{
    AttributeOptions, HeadOptions, Instead, Lens, LensOptions, Metric, Parts, PatchOptions, Pieces,
    Reading, Unit, ablate, attribute, heads, lens, patch,
};
use pellucid::measure::{furthest, relative_error};
use pellucid::model::{Action, Change, Edit, hooks};
use pollster::block_on;

use super::{backend, checkpoint, folder, golden, ids};

/// Families of every kind; three of them on SwiftShader, which compiles each pipeline of each model anew
/// and takes minutes for six.
pub(super) fn names() -> &'static [&'static str] {
    let few = std::env::var("PELLUCID_TEST_ADAPTER").is_ok_and(|name| name == "swiftshader");
    let all = &["gpt2", "gemma2", "qwen3", "llama", "gemma3", "neox"];
    if few { &all[..3] } else { all }
}

pub(super) fn llm(name: &str, backend: Backend) -> Llm {
    let options = Options { backend, check: false, tuned: false, ..Options::default() };
    block_on(Llm::open(checkpoint(&folder().join(name)), &options, |_| {})).unwrap()
}

/// The model on the device, and on the reference.
pub(super) fn both(name: &str) -> [Llm; 2] {
    [backend(), Backend::Cpu].map(|backend| llm(name, backend))
}

pub(super) fn tokens(name: &str) -> Vec<u32> {
    ids(&golden(name)["sequences"][0]["tokens"])
}

pub(super) fn generate(llm: &mut Llm, prompt: &[u32], request: &Request) -> Generation {
    block_on(llm.generate(prompt, request, |_| ControlFlow::Continue(()))).unwrap().0
}

pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// Edits of every kind, in the prompt, in drawn tokens and in both.
fn some_edits(llm: &Llm, prompt: usize) -> Vec<(Hook, Edit)> {
    let config = llm.config();
    let ramp: Vec<f32> = (0..config.width).map(|i| (i % 5) as f32 - 2.0).collect();
    let drawn = Edit { positions: Some(prompt..1000), ..Edit::all(Change::Scale(0.5)) };
    let early = Edit { positions: Some(1..3), ..Edit::all(Change::Zero) };
    let head = Edit { heads: Some(0..1), ..Edit::all(Change::Zero) };
    vec![
        (Hook::ResidPost(0), Edit::all(Change::Add(ramp.clone()))),
        (Hook::MlpOut(1), drawn),
        (Hook::AttnOut(1), early),
        (Hook::Z(1), head),
        (Hook::ResidPre(1), Edit::all(Change::Project(ramp))),
    ]
}

#[test]
fn a_generation_is_edited_on_the_device_as_on_the_reference() {
    for name in names().iter().copied() {
        let prompt = tokens(name)[..6].to_vec();
        let [mut device, mut reference] = both(name);
        let edits = some_edits(&device, prompt.len());
        let request = Request {
            max_new_tokens: 5,
            ignore_eos: true,
            logprobs: Some(2),
            edits,
            ..Request::default()
        };
        let [found, expected] =
            [&mut device, &mut reference].map(|llm| generate(llm, &prompt, &request));
        assert_eq!(found.tokens, expected.tokens, "{name}");
        let logprobs = |generation: &Generation| -> Vec<f32> {
            generation.logprobs.iter().flatten().map(|token| token.logprob).collect()
        };
        let error = furthest(&logprobs(&found), &logprobs(&expected));
        assert!(error <= 1e-3, "{name}: {error:.1e}");
        // The next run has no edits, and does not use the keys and values of this one.
        let plain = Request { edits: Vec::new(), reuse_prefix: true, ..request.clone() };
        let after = generate(&mut device, &prompt, &plain);
        assert_eq!(after.reused, 0, "{name}");
        let fresh = generate(&mut llm(name, backend()), &prompt, &plain);
        assert_eq!(logprobs(&after), logprobs(&fresh), "{name}");
        assert_ne!(logprobs(&after), logprobs(&found), "{name}: the edits have an effect");
        // The same edits may use them.
        let again = Request { reuse_prefix: true, ..request.clone() };
        generate(&mut device, &prompt, &again);
        let again = generate(&mut device, &prompt, &again);
        assert_eq!(again.reused, prompt.len() - 1, "{name}");
        assert_eq!(again.tokens, found.tokens, "{name}");
    }
}

#[test]
fn values_of_drawn_tokens_are_those_of_one_pass() {
    for name in names().iter().copied() {
        let prompt = tokens(name)[..5].to_vec();
        for mut llm in both(name) {
            let keep = hooks(llm.config());
            let edits = some_edits(&llm, prompt.len());
            let request = Request {
                max_new_tokens: 4,
                ignore_eos: true,
                keep: keep.clone(),
                edits: edits.clone(),
                ..Request::default()
            };
            let generation = generate(&mut llm, &prompt, &request);
            let mut text = [&prompt[..], &generation.tokens].concat();
            text.pop();
            // Positions that the text does not have are those of tokens drawn later.
            let within = |(hook, mut edit): (Hook, Edit)| {
                edit.positions = edit.positions.map(|range| range.start..range.end.min(text.len()));
                (hook, Action::Edit(edit))
            };
            let mut actions: Vec<_> = edits.into_iter().map(within).collect();
            actions.extend(keep.iter().map(|hook| (*hook, Action::Read)));
            let expected = block_on(llm.observe(&text, &actions, &[])).unwrap().activations;
            assert_eq!(generation.kept.len(), expected.len(), "{name}");
            for (found, expected) in generation.kept.iter().zip(&expected) {
                assert_eq!((found.hook, &found.shape), (expected.hook, &expected.shape), "{name}");
                let shown = |x: &f32| if *x == f32::NEG_INFINITY { 0.0 } else { *x };
                let found_values: Vec<f32> = found.values.iter().map(shown).collect();
                let expected: Vec<f32> = expected.values.iter().map(shown).collect();
                let error = relative_error(&found_values, &wide(&expected));
                assert!(error <= 1e-4, "{name}: {} is off by {error:.1e}", found.hook);
            }
        }
    }
}

#[test]
fn the_lens_ends_in_what_the_model_says() {
    for name in names().iter().copied() {
        let tokens = tokens(name);
        let options = LensOptions { top: 3, target: Some(7), positions: None };
        let [found, reference] = both(name).map(|mut llm| {
            let logits_of: Vec<usize> = (0..tokens.len()).collect();
            let logits = block_on(llm.observe(&tokens, &[], &logits_of)).unwrap().logits;
            let lens = block_on(lens(&mut llm, &tokens, &[], &options)).unwrap();
            let vocab = llm.config().vocab;
            let best = |row: &[f32]| {
                (0..vocab as u32)
                    .max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize]))
                    .unwrap()
            };
            let expected: Vec<u32> = logits.chunks(vocab).map(best).collect();
            let last = lens.readings.last().unwrap();
            let said: Vec<u32> = last.iter().map(|reading| reading.top[0].0).collect();
            assert_eq!(said, expected, "{name}");
            assert!(last.iter().all(|reading| reading.kl == 0.0), "{name}");
            lens
        });
        assert_eq!(found.labels, reference.labels);
        let shape = |lens: &Lens| -> Vec<Vec<usize>> {
            let tops = |row: &Vec<Reading>| row.iter().map(|reading| reading.top.len()).collect();
            lens.readings.iter().map(tops).collect()
        };
        assert_eq!(shape(&found), shape(&reference));
        assert_eq!(found.readings.len(), found.labels.len());
        for (label, (found, expected)) in
            found.labels.iter().zip(found.readings.iter().zip(&reference.readings))
        {
            for (found, expected) in found.iter().zip(expected) {
                assert!(furthest(&[found.entropy], &[expected.entropy]) <= 1e-3, "{name} {label}");
                assert!(furthest(&[found.kl], &[expected.kl]) <= 1e-3, "{name} {label}");
                let of = |top: &[(u32, f32)]| top.iter().map(|(_, p)| *p).collect::<Vec<f32>>();
                assert!(furthest(&of(&found.top), &of(&expected.top)) <= 1e-3, "{name} {label}");
            }
        }
    }
}

#[test]
fn attributions_add_up_to_the_logit() {
    for name in names().iter().copied() {
        let tokens = tokens(name);
        let options = AttributeOptions { answer: 5, versus: Some(9), position: None, neurons: 4 };
        for mut llm in both(name) {
            let found = block_on(attribute(&mut llm, &tokens, &[], &options)).unwrap();
            let size: f64 = found.components.iter().map(|(_, value)| value.abs()).sum();
            let error = (found.total - found.logit).abs() / size;
            assert!(error <= 1e-4, "{name}: {} and {}", found.total, found.logit);
            // Heads add up to attention, but for the output bias.
            if name != "gpt2" && name != "neox" {
                for (layer, heads) in found.heads.iter().enumerate() {
                    let whole = format!("{layer}_attn_out");
                    let whole = found.components.iter().find(|(name, _)| *name == whole).unwrap().1;
                    let sum: f64 = heads.iter().sum();
                    assert!((sum - whole).abs() / size <= 1e-4, "{name}: {sum} and {whole}");
                }
            }
            assert_eq!(found.neurons.len(), 4);
        }
    }
}

#[test]
fn sweeps_measure_what_single_runs_do() {
    for name in names().iter().copied() {
        let tokens = tokens(name);
        let (answer, versus) = (3, 11);
        for mut llm in both(name) {
            let config = llm.config().clone();
            for metric in [Metric::Loss, Metric::LogitDifference { answer, versus }] {
                let parts = (Parts::Heads, Instead::Zero);
                let found =
                    block_on(ablate(&mut llm, &tokens, &[], parts, metric, |_, _| {})).unwrap();
                for layer in 0..config.layers {
                    for head in [0, config.heads - 1] {
                        let edits = Unit::Head(layer, head).ablation(&config).unwrap();
                        let expected = measured(&mut llm, &tokens, &edits, metric);
                        let error = (found.values[layer][head] - expected).abs();
                        assert!(error <= 1e-3, "{name} L{layer}H{head} {metric:?}: {error:.1e}");
                    }
                }
                let expected = measured(&mut llm, &tokens, &[], metric);
                assert!((found.baseline - expected).abs() <= 1e-3, "{name}");
            }
        }
    }
}

/// The metric of one run with these edits.
pub(super) fn measured(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    metric: Metric,
) -> f64 {
    match metric {
        Metric::Loss => {
            let score = block_on(llm.score_edited(tokens, None, edits)).unwrap();
            -wide(&score.logprobs).iter().sum::<f64>() / score.logprobs.len() as f64
        }
        Metric::LogitDifference { answer, versus } => {
            let logits = block_on(llm.observe_last(tokens, edits, &[])).unwrap().logits;
            f64::from(logits[answer as usize]) - f64::from(logits[versus as usize])
        }
    }
}

#[test]
fn patching_everything_restores_the_clean_run() {
    for name in names().iter().copied() {
        let clean = tokens(name);
        let mut corrupted = clean.clone();
        corrupted[2] = (corrupted[2] + 7) % 60;
        let metric = Metric::LogitDifference { answer: 3, versus: 11 };
        let [found, reference] = both(name).map(|mut llm| {
            let options = PatchOptions { point: Point::ResidPre, by: Pieces::Positions };
            let texts = [&clean[..], &corrupted[..]];
            let by_position =
                block_on(patch(&mut llm, texts, &[], options, metric, |_, _| {})).unwrap();
            // Only this position differs before the first layer.
            let restored = by_position.normalized()[2].unwrap();
            assert!((restored - 1.0).abs() <= 1e-3, "{name}: {restored}");
            let untouched = by_position.normalized()[1].unwrap();
            assert!(untouched.abs() <= 1e-3, "{name}: {untouched}");
            for (point, by) in
                [(Point::Pattern, Pieces::Heads), (Point::K, Pieces::HeadsAndPositions)]
            {
                let options = PatchOptions { point, by };
                let found =
                    block_on(patch(&mut llm, texts, &[], options, metric, |_, _| {})).unwrap();
                assert!(found.values.iter().all(|value| value.is_finite()), "{name} {point:?}");
            }
            by_position
        });
        assert_eq!((&found.axes, &found.shape), (&reference.axes, &reference.shape));
        assert!(furthest(&found.values, &reference.values) <= 1e-3, "{name}");
    }
}

#[test]
fn head_scores_are_shares() {
    for name in ["gpt2", "llama"] {
        let options = HeadOptions { period: 6, seed: 3 };
        let [found, reference] =
            both(name).map(|mut llm| block_on(heads(&mut llm, &[], options)).unwrap());
        assert_eq!(found.tokens, reference.tokens);
        for (found, expected) in [
            (&found.previous, &reference.previous),
            (&found.duplicate, &reference.duplicate),
            (&found.induction, &reference.induction),
            (&found.current, &reference.current),
            (&found.first, &reference.first),
            (&found.prefix_matching, &reference.prefix_matching),
            (&found.copying_olsson, &reference.copying_olsson),
        ] {
            assert!(furthest(&found.concat(), &expected.concat()) <= 1e-3, "{name}");
        }
        assert!(found.current.concat().iter().all(|share| (0.0..=1.0).contains(share)));
    }
}
