//! Identities of the residual stream that hold for any weights (Elhage et al. 2021): what parts write adds
//! up, heads are independent, and what is read of them is linear.

use pellucid::checkpoint::Param;
use pellucid::generate::Llm;
use pellucid::hook::Hook;
use pellucid::inspect::{AttributeOptions, HeadOptions, LensOptions, Unit, attribute, heads, lens};
use pellucid::measure::{furthest, relative_error};
use pellucid::model::{Change, Edit, actions, hooks};
use pollster::block_on;

use super::inspect::{both, names, tokens, wide};

/// Every value of a text.
struct Seen(Vec<(Hook, Vec<f64>)>);

impl Seen {
    fn of(llm: &mut Llm, text: &[u32]) -> Self {
        let reads = actions(&[], hooks(llm.config()));
        let seen = block_on(llm.observe(text, &reads, &[])).unwrap().activations;
        Self(seen.into_iter().map(|value| (value.hook, wide(&value.values))).collect())
    }

    fn get(&self, hook: Hook) -> Option<&[f64]> {
        self.0.iter().find(|(own, _)| *own == hook).map(|(_, values)| &values[..])
    }
}

fn add(sum: &mut [f64], part: &[f64]) {
    assert_eq!(sum.len(), part.len());
    sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
}

/// A parameter in f64; zeros if the model has none.
fn weight(llm: &Llm, param: Param, layer: usize, count: usize) -> Vec<f64> {
    llm.weight(param, layer).unwrap().map_or_else(|| vec![0.0; count], |values| wide(&values))
}

#[test]
fn the_stream_is_the_sum_of_what_its_parts_write() {
    for name in names() {
        let text = tokens(name);
        for mut llm in both(name) {
            let seen = Seen::of(&mut llm, &text);
            let mut sum = seen.get(Hook::Embed).unwrap().to_vec();
            if let Some(positions) = seen.get(Hook::PosEmbed) {
                add(&mut sum, positions);
            }
            let check = |hook: Hook, sum: &[f64]| {
                // Layers whose MLP runs beside attention have no stream between the two.
                let none = matches!(hook, Hook::ResidMid(_)).then_some(sum);
                let error = relative_error(seen.get(hook).or(none).unwrap(), sum);
                assert!(error <= 1e-5, "{name}: {hook} is off by {error:.1e}");
            };
            for layer in 0..llm.config().layers {
                check(Hook::ResidPre(layer), &sum);
                add(&mut sum, seen.get(Hook::AttnOut(layer)).unwrap());
                check(Hook::ResidMid(layer), &sum);
                add(&mut sum, seen.get(Hook::MlpOut(layer)).unwrap());
                check(Hook::ResidPost(layer), &sum);
            }
        }
    }
}

/// A head's write is its pattern times what its output and value maps make of each position.
#[test]
fn heads_write_apart_from_each_other() {
    for name in names() {
        let text = tokens(name);
        let count = text.len();
        for mut llm in both(name) {
            let seen = Seen::of(&mut llm, &text);
            let config = llm.config().clone();
            let (width, of_head) = (config.width, config.head_width);
            let group = config.heads / config.kv_heads;
            for layer in 0..config.layers {
                let value = |hook: Hook| seen.get(hook).unwrap();
                let (pattern, v) = (value(Hook::Pattern(layer)), value(Hook::V(layer)));
                let out = weight(&llm, Param::Out, layer, 0);
                let (mut z, mut result) = (Vec::new(), Vec::new());
                for query in 0..count {
                    for head in 0..config.heads {
                        let row = &pattern[(head * count + query) * count..][..count];
                        let at = |key: usize, d: usize| {
                            v[(key * config.kv_heads + head / group) * of_head + d]
                        };
                        let own: Vec<f64> = (0..of_head)
                            .map(|d| row.iter().enumerate().map(|(key, a)| a * at(key, d)).sum())
                            .collect();
                        result.extend((0..width).map(|c| {
                            let row = &out[c * config.heads * of_head + head * of_head..];
                            row.iter().zip(&own).map(|(w, x)| w * x).sum::<f64>()
                        }));
                        z.extend(own);
                    }
                }
                let check = |hook: Hook, expected: &[f64]| {
                    let error = relative_error(value(hook), expected);
                    assert!(error <= 1e-5, "{name}: {hook} is off by {error:.1e}");
                };
                check(Hook::Z(layer), &z);
                check(Hook::Result(layer), &result);
                let bias = weight(&llm, Param::OutBias, layer, width);
                let mut sums = bias.repeat(count);
                for (sum, row) in sums.chunks_mut(width).zip(result.chunks(config.heads * width)) {
                    row.chunks(width).for_each(|head| add(sum, head));
                }
                let before = Hook::AttnBeforeNorm(layer);
                let whole = if seen.get(before).is_some() { before } else { Hook::AttnOut(layer) };
                check(whole, &sums);
            }
        }
    }
}

/// Without any layer the model is its direct path, from the embedding to the head.
#[test]
fn without_layers_the_direct_path_is_left() {
    for name in names() {
        let text = tokens(name);
        for mut llm in both(name) {
            let config = llm.config().clone();
            let edits: Vec<(Hook, Edit)> = (0..config.layers)
                .flat_map(|layer| Unit::Layer(layer).ablation(&config).unwrap())
                .collect();
            let all: Vec<usize> = (0..text.len()).collect();
            let reads = actions(&edits, [Hook::ResidPre(0)]);
            let seen = block_on(llm.observe(&text, &reads, &all)).unwrap();
            let direct = block_on(llm.unembed(&seen.activations[0].values)).unwrap();
            let error = relative_error(&seen.logits, &direct);
            assert!(error <= 1e-5, "{name}: off by {error:.1e}");
            // And the lens says the same of every place.
            let options = LensOptions { top: 1, target: None, positions: None };
            let found = block_on(lens(&mut llm, &text, &edits, &options)).unwrap();
            let furthest = furthest(
                &found.readings.iter().flatten().map(|reading| reading.kl).collect::<Vec<f64>>(),
                &vec![0.0; found.readings.len() * text.len()],
            );
            assert!(furthest <= 1e-6, "{name}: {furthest:.1e}");
        }
    }
}

#[test]
fn attributions_are_linear_in_the_answer() {
    for name in names() {
        let text = tokens(name);
        for mut llm in both(name) {
            let mut of = |answer, versus| {
                let options = AttributeOptions { answer, versus, position: None, neurons: 100_000 };
                block_on(attribute(&mut llm, &text, &[], &options)).unwrap()
            };
            let (a, b, both) = (of(5, None), of(9, None), of(5, Some(9)));
            let size: f64 = a.components.iter().map(|(_, value)| value.abs()).sum();
            let near = |found: f64, expected: f64, what: &str| {
                let error = (found - expected).abs() / size;
                assert!(error <= 1e-6, "{name}: {what} is off by {error:.1e}");
            };
            for ((a, b), both) in a.components.iter().zip(&b.components).zip(&both.components) {
                near(both.1, a.1 - b.1, &both.0);
            }
            let heads = |found: &[Vec<f64>]| found.concat();
            let (of_a, of_b) = (heads(&a.heads), heads(&b.heads));
            for (at, whole) in heads(&both.heads).into_iter().enumerate() {
                near(whole, of_a[at] - of_b[at], "a head");
            }
            // All neurons and the output's bias are what the MLP adds.
            let config = llm.config().clone();
            for layer in 0..config.layers {
                if llm.weight(Param::DownBias, layer).unwrap().is_some() {
                    continue;
                }
                let own = both.neurons.iter().filter(|(at, _, _)| *at == layer);
                let sum: f64 = own.map(|(_, _, value)| value).sum();
                let whole = format!("{layer}_mlp_out");
                let whole = both.components.iter().find(|(name, _)| *name == whole).unwrap();
                let error = (sum - whole.1).abs() / size;
                assert!(error <= 1e-4, "{name}: {} is off by {error:.1e}", whole.0);
            }
        }
    }
}

/// Heads that see all they may see alike have scores that can be counted.
#[test]
fn scores_of_heads_that_attend_to_all_alike_are_known() {
    for name in ["gpt2", "llama"] {
        const PERIOD: usize = 6;
        for mut llm in both(name) {
            let config = llm.config().clone();
            let all = |layer| (Hook::AttnScores(layer), Edit::all(Change::Zero));
            let edits: Vec<(Hook, Edit)> = (0..config.layers).map(all).collect();
            let options = HeadOptions { period: PERIOD, seed: 3 };
            let found = block_on(heads(&mut llm, &edits, options)).unwrap();
            let share = |query: usize| 1.0 / (query + 1) as f64;
            let mean = |queries: std::ops::Range<usize>| {
                queries.clone().map(share).sum::<f64>() / queries.len() as f64
            };
            let few = 25.min(llm.context() / 4);
            let copies = |query: usize| (query / few) as f64 * share(query);
            let prefix = (few..4 * few).map(copies).sum::<f64>() / (3 * few) as f64;
            for (what, values, expected) in [
                ("current", &found.current, mean(0..2 * PERIOD)),
                ("first", &found.first, mean(0..2 * PERIOD)),
                ("previous", &found.previous, mean(1..2 * PERIOD)),
                ("duplicate", &found.duplicate, mean(PERIOD..2 * PERIOD)),
                ("induction", &found.induction, mean(PERIOD..2 * PERIOD)),
                ("prefix_matching", &found.prefix_matching, prefix),
            ] {
                let expected = vec![expected; config.layers * config.heads];
                let error = furthest(&values.concat(), &expected);
                assert!(error <= 1e-6, "{name}: {what} is off by {error:.1e}");
            }
        }
    }
}
