//! Variants of a text run many at a time, as each alone; and what steering costs.

use pellucid::checkpoint::Checkpoint;
use pellucid::config::Config;
use pellucid::generate::{Llm, Options, Request};
use pellucid::hook::{Hook, Point};
use pellucid::inspect::{Instead, Metric, Parts, PatchOptions, Pieces, Unit, ablate, patch};
use pellucid::measure::largest;
use pellucid::model::{Activation, Change, Edit, actions};
use pollster::block_on;

use super::backend;
use super::inspect::{generate, llm, measured, names, tokens};

fn device(name: &str) -> Llm {
    llm(name, backend())
}

/// Edits of the run that is varied. Those of the stream would show if they were made twice, or not at
/// all, where a variant begins.
fn base_edits(config: &Config) -> Vec<(Hook, Edit)> {
    let ramp: Vec<f32> = (0..config.width).map(|i| (i % 5) as f32 / 4.0 - 0.5).collect();
    let first = Edit { sequence: Some(0), ..Edit::all(Change::Scale(1.25)) };
    let mut edits = vec![(Hook::MlpOut(0), first)];
    for layer in 0..config.layers {
        edits.push((Hook::ResidPre(layer), Edit::all(Change::Add(ramp.clone()))));
    }
    edits
}

/// The part of a value at a position, and of a head if there is one.
fn cut(seen: &Activation, head: Option<usize>, position: usize) -> Edit {
    let row = match (head, &seen.shape[..]) {
        (None, [_, width]) => &seen.values[position * width..][..*width],
        (Some(head), [_, heads, width]) => {
            &seen.values[(position * heads + head) * width..][..*width]
        }
        _ => panic!("{} has another shape", seen.hook),
    };
    Edit {
        heads: head.map(|head| head..head + 1),
        positions: Some(position..position + 1),
        ..Edit::all(Change::Replace(row.to_vec()))
    }
}

#[test]
fn patches_in_batches_are_those_of_single_runs() {
    // The others have no layer of another kind where a variant begins.
    for name in names().iter().copied().take(3) {
        let clean = tokens(name);
        let mut corrupted = clean.clone();
        corrupted[1] = (corrupted[1] + 7) % 60;
        corrupted[4] = (corrupted[4] + 9) % 60;
        let mut llm = device(name);
        let config = llm.config().clone();
        let edits = base_edits(&config);
        for (point, by, metric) in [
            (Point::ResidPre, Pieces::Positions, Metric::LogitDifference { answer: 3, versus: 11 }),
            (Point::ResidPre, Pieces::Positions, Metric::Loss),
            (Point::V, Pieces::HeadsAndPositions, Metric::LogitDifference { answer: 5, versus: 2 }),
        ] {
            let (options, texts) = (PatchOptions { point, by }, [&clean[..], &corrupted[..]]);
            let mut calls = Vec::new();
            let progress = |done, all| calls.push((done, all));
            let found =
                block_on(patch(&mut llm, texts, &edits, options, metric, progress)).unwrap();
            let all = found.values.len();
            assert_eq!(calls, (1..=all).map(|done| (done, all)).collect::<Vec<_>>(), "{name}");
            let heads = (by == Pieces::HeadsAndPositions).then_some(config.kv_heads);
            let places: Vec<_> = (0..config.layers)
                .flat_map(|layer| (0..heads.unwrap_or(1)).map(move |head| (layer, head)))
                .flat_map(|(layer, head)| (0..clean.len()).map(move |at| (layer, head, at)))
                .collect();
            assert_eq!(all, places.len(), "{name}");
            let mut furthest: f64 = 0.0;
            for (value, (layer, head, position)) in found.values.iter().zip(places) {
                // Every fifth is enough: they run one by one.
                if (layer + head + position) % 5 != 0 {
                    continue;
                }
                let reads = actions(&edits, [point.at(layer)]);
                let seen = block_on(llm.observe(&clean, &reads, &[])).unwrap().activations;
                let mut own = edits.clone();
                own.push((point.at(layer), cut(&seen[0], heads.map(|_| head), position)));
                let expected = measured(&mut llm, &corrupted, &own, metric);
                furthest = largest([furthest, (value - expected).abs()]);
                assert!(
                    (value - expected).abs() <= 1e-3,
                    "{name} {} at {position}, head {head}, {metric:?}: {value}, not {expected}",
                    point.at(layer)
                );
            }
            // Patches change something, and not all of them the same.
            let moved =
                |value: &&f64| (**value - found.corrupted).abs() > 10.0 * furthest.max(1e-6);
            let moved: Vec<&f64> = found.values.iter().filter(moved).collect();
            assert!(moved.len() > 2, "{name} {point:?} {metric:?}: {:?}", found.values);
        }
    }
}

/// The text is longer than what runs at once on a software adapter, 128 rows.
#[test]
fn variants_of_a_long_text_are_those_of_single_runs() {
    let options = Options { backend: backend(), check: false, tuned: false, ..Options::default() };
    let mut llm = block_on(Llm::open(Checkpoint::built_in().unwrap(), &options, |_| {})).unwrap();
    let config = llm.config().clone();
    let tokens: Vec<u32> = (0..150).map(|at| at * at * 31 % config.vocab as u32).collect();
    for metric in [Metric::Loss, Metric::LogitDifference { answer: 3, versus: 11 }] {
        let parts = (Parts::Attention, Instead::Zero);
        let found = block_on(ablate(&mut llm, &tokens, &[], parts, metric, |_, _| {})).unwrap();
        for layer in [0, config.layers / 2, config.layers - 1] {
            let edits = Unit::Attention(layer).ablation(&config).unwrap();
            let expected = measured(&mut llm, &tokens, &edits, metric);
            let error = (found.values[layer][0] - expected).abs();
            assert!(error <= 1e-3, "L{layer} {metric:?}: {error:.1e}");
        }
        let moved = |row: &Vec<f64>| (row[0] - found.baseline).abs() > 1e-2;
        assert!(found.values.iter().any(moved), "{metric:?}: {:?}", found.values);
        let expected = measured(&mut llm, &tokens, &[], metric);
        assert!((found.baseline - expected).abs() <= 1e-3, "{metric:?}");
    }
}

/// A vector added after a layer is one dispatch more, in the prompt as with every token drawn, and
/// nothing else.
#[test]
fn a_steering_vector_adds_a_dispatch_a_layer_and_no_submit() {
    for name in names().iter().copied() {
        let prompt = tokens(name)[..6].to_vec();
        let mut llm = device(name);
        let (layers, width) = (llm.config().layers, llm.config().width);
        let mut counted = |steered: usize| {
            let vector: Vec<f32> = (0..width).map(|i| i as f32 * 1e-3).collect();
            let steer = |layer| (Hook::ResidPost(layer), Edit::all(Change::Add(vector.clone())));
            let edits = (0..steered).map(steer).collect();
            let request =
                Request { max_new_tokens: 5, ignore_eos: true, edits, ..Request::default() };
            let before = llm.session().unwrap().engine().counters();
            let generation = generate(&mut llm, &prompt, &request);
            let all = llm.session().unwrap().engine().counters().since(before);
            (all, generation.counters.unwrap())
        };
        let (all, (plain, steps)) = counted(0);
        for steered in [1, layers] {
            let (all_steered, (own, steered_steps)) = counted(steered);
            assert_eq!(steered_steps, steps, "{name}");
            let more = (own.dispatches - plain.dispatches) as usize;
            assert_eq!(more, steered * steps, "{name}: a token of {steered} steered layers");
            assert_eq!((own.submits, own.passes), (plain.submits, plain.passes), "{name}");
            assert_eq!(own.allocations, plain.allocations, "{name}");
            // Five tokens and one prefill of the others.
            let more = (all_steered.dispatches - all.dispatches) as usize;
            assert_eq!(more, steered * 6, "{name}: a run of {steered} steered layers");
            assert_eq!(all_steered.submits, all.submits, "{name}");
        }
    }
}
