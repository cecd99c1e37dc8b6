//! A walk through every named value of every family: read, edited to itself, set to zero.
//!
//! On the device two texts of unequal length run in one batch over three chunks, the last of which has a
//! single row, as a decoding step has. The reference runs one text.

use std::iter;
use std::ops::{ControlFlow, Range};

use pellucid::config::Config;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::hook::{Hook, Point};
use pellucid::model::{
    Action, Activation, Change, Edit, Observed, SessionOptions, actions, heads_first, hooks, rows,
};
use pollster::block_on;

use super::hooks::{error, schedule};
use super::inspect::{llm, wide};
use super::{backend, cases, checkpoint, folder, golden, ids, session};

/// Rows of the two texts, and how many run at once.
const LENGTHS: [usize; 2] = [6, 5];
const CHUNK: usize = 5;

fn swiftshader() -> bool {
    std::env::var("PELLUCID_TEST_ADAPTER").is_ok_and(|name| name == "swiftshader")
}

/// Families of every kind of layer; on SwiftShader, which takes seconds for the pipelines of a model,
/// one with learned positions and layer norms and one with norms after its sub-layers and soft caps.
fn few() -> &'static [&'static str] {
    let all = &["gpt2", "gemma2", "gpt2-attn-only", "neox", "qwen3-window"];
    if swiftshader() { &all[..2] } else { all }
}

type Observe<'a> = Box<dyn FnMut(&[(Hook, Action)]) -> Observed + 'a>;

/// A model that runs the same rows again and again.
struct Walk<'a> {
    name: String,
    config: Config,
    /// Whether its numbers have more digits than what is read of them.
    rounds: bool,
    /// The rows of each sequence.
    texts: Vec<Range<usize>>,
    observe: Observe<'a>,
}

impl Walk<'_> {
    fn on_device(name: &str) -> Self {
        let options =
            SessionOptions { sequences: 2, chunk: Some(CHUNK), ..SessionOptions::default() };
        let checkpoint = checkpoint(&folder().join(name));
        let mut session = session(&checkpoint, &AdapterChoice::default(), options);
        let tokens = ids(&golden(name)["sequences"][0]["tokens"]);
        let other: Vec<u32> = tokens.iter().rev().copied().take(LENGTHS[1]).collect();
        let batch = [rows(&tokens[..LENGTHS[0]], 0), rows(&other, 1)].concat();
        for count in [1, CHUNK] {
            let plain = schedule(&session, count, None);
            assert_eq!(schedule(&session, count, Some(&[])), plain, "{name}: nothing is named");
        }
        Self {
            name: format!("{name} on the device"),
            config: checkpoint.config().clone(),
            rounds: false,
            texts: vec![0..LENGTHS[0], LENGTHS[0]..LENGTHS[0] + LENGTHS[1]],
            observe: Box::new(move |actions| block_on(session.observe(&batch, actions)).unwrap()),
        }
    }

    fn on_reference(name: &str) -> Self {
        let options = Options { backend: Backend::Cpu, ..Options::default() };
        let opening = Llm::open(checkpoint(&folder().join(name)), &options, |_| {});
        let mut llm = block_on(opening).unwrap();
        let tokens = ids(&golden(name)["sequences"][0]["tokens"])[..LENGTHS[0]].to_vec();
        let all: Vec<usize> = (0..tokens.len()).collect();
        Self {
            name: format!("{name} on the reference"),
            config: llm.config().clone(),
            rounds: true,
            texts: iter::once(0..tokens.len()).collect(),
            observe: Box::new(move |actions| {
                block_on(llm.observe(&tokens, actions, &all)).unwrap()
            }),
        }
    }

    fn read(&mut self, reads: &[Hook]) -> Observed {
        (self.observe)(&actions(&[], reads.iter().copied()))
    }

    /// Runs with these values replaced by what they were in a run, and reads them.
    fn put_back(&mut self, seen: &Observed) -> Observed {
        let mut edits = Vec::new();
        for activation in &seen.activations {
            if self.rounds {
                // What is read of f64 is rounded: put back it would be another number.
                edits.push((activation.hook, Edit::all(Change::Scale(1.0))));
                continue;
            }
            for (sequence, text) in (0..).zip(&self.texts) {
                let columns = heads_first(activation.hook).then(|| 0..activation.shape[2]);
                edits.push((
                    activation.hook,
                    Edit {
                        positions: Some(0..text.len()),
                        sequence: Some(sequence),
                        columns,
                        ..Edit::all(Change::Replace(rows_of(activation, text)))
                    },
                ));
            }
        }
        (self.observe)(&actions(&edits, seen.activations.iter().map(|own| own.hook)))
    }

    /// Fails unless two runs have the same bits.
    fn same(&self, what: &str, found: &Observed, expected: &Observed) {
        assert_eq!(found.activations.len(), expected.activations.len());
        for (found, expected) in found.activations.iter().zip(&expected.activations) {
            assert_eq!(found.hook, expected.hook);
            let (name, hook) = (&self.name, found.hook);
            assert!(found.values == expected.values, "{name}: {what} changes {hook}");
        }
        assert!(found.logits == expected.logits, "{}: {what} changes the logits", self.name);
    }

    /// Sets one value after the other to zero in the last text, with all others read.
    fn zeros(&mut self) {
        let all = hooks(&self.config);
        let plain = self.read(&all);
        let vocab = self.config.vocab;
        let (last, others) = self.texts.split_last().unwrap();
        let (last, others) = (last.clone(), others.to_vec());
        for hook in all.iter().copied() {
            let edit = Edit {
                sequence: Some(others.len() as u32),
                ..Edit::all(if divisor(hook) { Change::Scale(2.0) } else { Change::Zero })
            };
            let found = (self.observe)(&actions(&[(hook, edit)], all.iter().copied()));
            let name = &self.name;
            let own = |hook: Hook| -> Vec<f32> {
                let found = found.activations.iter().find(|own| own.hook == hook);
                rows_of(found.unwrap(), &last)
            };
            for (value, before) in found.activations.iter().zip(&plain.activations) {
                for text in &others {
                    let (value, before) = (rows_of(value, text), rows_of(before, text));
                    // Kernels that are not fused round otherwise.
                    let gap = error(&value, &wide(&before));
                    assert!(gap <= 1e-5, "{name}: {hook} of another text changes by {gap:.1e}");
                }
                let other = value.hook;
                let (value, before) = (rows_of(value, &last), rows_of(before, &last));
                if other.place() < hook.place() {
                    assert!(value == before, "{name}: {hook} changes {other} before it");
                } else if other == hook && divisor(hook) {
                    let pairs = value.iter().zip(&before);
                    assert!(pairs.clone().all(|(x, y)| *x == 2.0 * y), "{name}: {hook}");
                } else if other == hook {
                    let zero = |x: &f32| *x == 0.0 || *x == f32::NEG_INFINITY;
                    assert!(value.iter().all(zero), "{name}: {hook} is zero");
                    let hidden = |values: &[f32]| values.iter().filter(|x| x.is_infinite()).count();
                    assert_eq!(hidden(&value), hidden(&before), "{name}: {hook} stays masked");
                }
            }
            let logits = |seen: &Observed, text: &Range<usize>| {
                seen.logits[text.start * vocab..text.end * vocab].to_vec()
            };
            for text in &others {
                let gap = error(&logits(&found, text), &wide(&logits(&plain, text)));
                assert!(gap <= 1e-5, "{name}: {hook} of another text changes the logits");
            }
            assert!(
                logits(&found, &last) != logits(&plain, &last),
                "{name}: {hook} set to zero changes nothing"
            );
            for (then, equals) in consequences(&self.config, hook) {
                let expected = equals.map(own);
                let fits = match &expected {
                    Some(expected) => own(then) == *expected,
                    None => own(then).iter().all(|x| *x == 0.0),
                };
                assert!(fits, "{name}: with {hook} at zero {then} is not {equals:?}");
            }
        }
        let after = self.read(&all);
        self.same("a walk", &after, &plain);
    }
}

/// The values of some rows, heads first if the hook's are.
fn rows_of(activation: &Activation, rows: &Range<usize>) -> Vec<f32> {
    if !heads_first(activation.hook) {
        let width = activation.values.len() / activation.shape[0];
        return activation.values[rows.start * width..rows.end * width].to_vec();
    }
    let [_, count, keys] = activation.shape[..] else { panic!("{}", activation.hook) };
    let heads = activation.values.chunks(count * keys);
    heads.flat_map(|head| head[rows.start * keys..rows.end * keys].to_vec()).collect()
}

/// Whether a value divides others, which a zero would make infinite.
fn divisor(hook: Hook) -> bool {
    use Point::{Ln1PostScale, Ln1Scale, Ln2PostScale, Ln2Scale, LnFinalScale};
    matches!(hook.point(), Ln1Scale | Ln1PostScale | Ln2Scale | Ln2PostScale | LnFinalScale)
}

/// Values that are zero, or another value to the bit, when a value is zero.
fn consequences(config: &Config, hook: Hook) -> Vec<(Hook, Option<Hook>)> {
    let last = config.layers - 1;
    let all = match hook {
        Hook::Embed => vec![(Hook::ResidPre(0), Some(Hook::PosEmbed))],
        Hook::PosEmbed => vec![(Hook::ResidPre(0), Some(Hook::Embed))],
        Hook::ResidPre(layer) => {
            vec![(Hook::AttnIn(layer), None), (Hook::Ln1Normalized(layer), None)]
        }
        Hook::Pattern(layer) | Hook::V(layer) => vec![(Hook::Z(layer), None)],
        Hook::Z(layer) => vec![(Hook::Result(layer), None)],
        Hook::Ln1PostNormalized(layer) => vec![(Hook::AttnOut(layer), None)],
        Hook::AttnOut(layer) => vec![(Hook::ResidMid(layer), Some(Hook::ResidPre(layer)))],
        Hook::MlpPreLinear(layer) => vec![(Hook::MlpPost(layer), None)],
        Hook::Ln2PostNormalized(layer) => vec![(Hook::MlpOut(layer), None)],
        Hook::MlpOut(layer) => vec![(Hook::ResidPost(layer), Some(Hook::ResidMid(layer)))],
        Hook::ResidPost(layer) if layer == last => vec![(Hook::LnFinalNormalized, None)],
        Hook::ResidPost(layer) => vec![(Hook::ResidPre(layer + 1), None)],
        _ => Vec::new(),
    };
    let own = hooks(config);
    let offered = |(then, equals): &(Hook, Option<Hook>)| {
        own.contains(then) && equals.is_none_or(|equals| own.contains(&equals))
    };
    all.into_iter().filter(offered).collect()
}

/// All values at once, in every family: what was read is put back, and nothing changes.
#[test]
fn every_value_of_every_family_edited_to_itself_changes_nothing() {
    let names: Vec<String> = if swiftshader() {
        few().iter().map(|name| (*name).to_owned()).collect()
    } else {
        let name =
            |case: &std::path::Path| case.file_name().unwrap().to_string_lossy().into_owned();
        cases().iter().map(|(case, _)| name(case)).collect()
    };
    for name in &names {
        for mut walk in [Walk::on_device(name), Walk::on_reference(name)] {
            let all = hooks(&walk.config);
            let plain = walk.read(&[]);
            let seen = walk.read(&all);
            assert_eq!(seen.activations.len(), all.len(), "{name}");
            let edited = walk.put_back(&seen);
            walk.same("what was read, put back,", &edited, &seen);
            let after = walk.read(&[]);
            walk.same("a run with edits", &after, &plain);
        }
    }
}

/// One kind of value at a time, in the kernels that run when only that is named.
#[test]
fn a_value_edited_to_itself_alone_changes_nothing() {
    for name in few() {
        let mut walk = Walk::on_device(name);
        let all = hooks(&walk.config);
        for point in Point::all() {
            let own: Vec<Hook> = all.iter().copied().filter(|hook| hook.point() == point).collect();
            if own.is_empty() {
                continue;
            }
            let seen = walk.read(&own);
            let edited = walk.put_back(&seen);
            walk.same(&format!("{} put back", point.name()), &edited, &seen);
        }
    }
}

#[test]
fn a_value_set_to_zero_changes_what_comes_after_it_and_no_other_text() {
    for name in few() {
        Walk::on_device(name).zeros();
    }
}

#[test]
fn a_value_set_to_zero_changes_what_comes_after_it_in_the_reference_of_every_family() {
    for (case, _) in cases() {
        Walk::on_reference(&case.file_name().unwrap().to_string_lossy()).zeros();
    }
}

/// While tokens are drawn: every value times one is itself.
#[test]
fn drawn_tokens_do_not_notice_edits_that_change_nothing() {
    for name in few() {
        let prompt = ids(&golden(name)["sequences"][0]["tokens"])[..5].to_vec();
        for backend in [backend(), Backend::Cpu] {
            let mut llm = llm(name, backend);
            let all = hooks(llm.config());
            let mut run = |edits: Vec<(Hook, Edit)>| {
                let request = Request {
                    max_new_tokens: 4,
                    ignore_eos: true,
                    logprobs: Some(2),
                    keep: all.clone(),
                    edits,
                    ..Request::default()
                };
                let generating = llm.generate(&prompt, &request, |_| ControlFlow::Continue(()));
                block_on(generating).unwrap().0
            };
            let plain = run(Vec::new());
            let one = |hook: &Hook| (*hook, Edit::all(Change::Scale(1.0)));
            let edited = run(all.iter().map(one).collect());
            assert_eq!(edited.tokens, plain.tokens, "{name}");
            assert_eq!(plain.kept.len(), all.len(), "{name}");
            for (found, expected) in edited.kept.iter().zip(&plain.kept) {
                assert!(found.values == expected.values, "{name}: {}", found.hook);
            }
            let logprobs = |generation: &pellucid::generate::Generation| -> Vec<f32> {
                generation.logprobs.iter().flatten().map(|token| token.logprob).collect()
            };
            assert!(logprobs(&edited) == logprobs(&plain), "{name}: log-probabilities");
        }
    }
}
