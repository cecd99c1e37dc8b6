//! Several texts one after another, and only the most probable tokens: against single texts and all logits.

use pellucid::Error;
use pellucid::generate::{Backend, Llm, Options};
use pellucid::gpu::{AdapterChoice, padded};
use pellucid::hook::Hook;
use pellucid::inspect::{LensOptions, lens};
use pellucid::measure::furthest;
use pellucid::model::{Action, Change, Edit, SessionOptions, actions};
use pellucid::ops::MAX_TOP_K;
use pellucid::reference::{log_softmax, top_k};
use pollster::block_on;

use super::{backend, checkpoint, folder, golden, ids, rows, session};

/// The model on the device, and on the reference.
fn both(name: &str) -> [Llm; 2] {
    [backend(), Backend::Cpu].map(|backend| {
        let options = Options { backend, check: false, tuned: false, ..Options::default() };
        block_on(Llm::open(checkpoint(&folder().join(name)), &options, |_| {})).unwrap()
    })
}

fn tokens(name: &str) -> Vec<u32> {
    ids(&golden(name)["sequences"][0]["tokens"])
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

#[test]
fn several_texts_are_what_each_is_alone() {
    for name in ["gpt2", "gemma2"] {
        let all = tokens(name);
        let texts = [&all[..3], &all[1..9], &all[4..5]];
        for mut llm in both(name) {
            let reads = [Hook::ResidPost(0), Hook::Pattern(1), Hook::MlpPost(1)];
            let edits = [(Hook::Z(0), Edit { heads: Some(0..1), ..Edit::all(Change::Zero) })];
            let actions = actions(&edits, reads);
            let last = |text: &[u32]| vec![text.len() - 1];
            let found = block_on(llm.observe_all(&texts, &actions, last)).unwrap();
            assert_eq!(found.len(), 3);
            for (text, found) in texts.iter().zip(found) {
                let alone = block_on(llm.observe(text, &actions, &last(text))).unwrap();
                assert_eq!(found, alone, "{name}");
                assert_eq!(found.activations[0].shape[0], text.len());
            }
            let error = block_on(llm.observe_all(&[&all[..2], &[]], &actions, last)).unwrap_err();
            assert_eq!(error.to_string(), "the prompt is empty");
        }
    }
}

/// The most probable tokens of each row by the host.
fn best(logits: &[f32], vocab: usize, k: usize) -> Vec<Vec<(u32, f64)>> {
    logits.chunks(vocab).map(|row| top_k(&wide(row), k)).collect()
}

fn assert_best(found: &[Vec<(u32, f32)>], expected: &[Vec<(u32, f64)>], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let ids = found.iter().map(|(id, _)| *id).collect::<Vec<u32>>();
        assert_eq!(ids, expected.iter().map(|(id, _)| *id).collect::<Vec<u32>>(), "{what}");
        let found: Vec<f32> = found.iter().map(|(_, logprob)| *logprob).collect();
        let expected: Vec<f64> = expected.iter().map(|(_, logprob)| *logprob).collect();
        assert!(furthest(&found, &expected) <= 1e-5, "{what}: {found:?}, not {expected:?}");
    }
}

#[test]
fn the_most_probable_tokens_are_the_hosts_and_ties_go_to_the_lower_id() {
    for name in ["gpt2", "llama", "gemma2"] {
        let text = tokens(name)[..8].to_vec();
        let hook = Hook::ResidPost(0);
        for mut llm in both(name) {
            let vocab = llm.config().vocab;
            for k in [1, 5, vocab.min(MAX_TOP_K)] {
                for of in [vec![7], vec![0, 3, 4], (0..8).collect()] {
                    let reads = [(hook, Action::Read)];
                    let all = block_on(llm.observe(&text, &reads, &of)).unwrap();
                    let read = |llm: &Llm| {
                        llm.session().map(|session| session.engine().counters().readback_bytes)
                    };
                    let before = read(&llm);
                    let found = block_on(llm.observe_top(&text, &reads, &of, k)).unwrap();
                    assert_eq!(found.activations, all.activations, "{name}");
                    assert!(found.logits.is_empty() && all.top.is_empty(), "{name}");
                    let expected = best(&all.logits, vocab, k);
                    assert_best(&found.top, &expected, &format!("{name}, {k} of {of:?}"));
                    // No logit comes to the host: only the values and a pair for each token.
                    if let (Some(before), Some(after)) = (before, read(&llm)) {
                        let values = (4 * text.len() * padded(llm.config().width)) as u64;
                        assert_eq!(after - before, values + (of.len() * k * 8) as u64, "{name}");
                    }
                }
            }
            for k in [0, vocab + 1] {
                let error = block_on(llm.observe_top(&text, &[], &[7], k)).unwrap_err();
                assert!(matches!(error, Error::Input(_)), "{error}");
                let told = format!("the {k} most probable tokens were asked for");
                assert!(error.to_string().starts_with(&told), "{error}");
            }
        }
    }
    // Where every logit is the same, all tokens are equally probable.
    let flat = (Hook::LnFinalNormalized, Action::Edit(Edit::all(Change::Zero)));
    for mut llm in both("llama") {
        let vocab = llm.config().vocab;
        let text = tokens("llama")[..3].to_vec();
        let found = block_on(llm.observe_top(&text, std::slice::from_ref(&flat), &[0, 2], 4));
        let one = -(vocab as f64).ln();
        let expected = vec![(0..4).map(|id| (id, one)).collect::<Vec<_>>(); 2];
        assert_best(&found.unwrap().top, &expected, "ties");
    }
}

#[test]
fn the_most_probable_tokens_do_not_depend_on_the_parts_of_a_text() {
    let text = tokens("gpt2");
    let read = |chunk: usize| {
        let options = SessionOptions { chunk: Some(chunk), ..SessionOptions::default() };
        let mut session =
            session(&checkpoint(&folder().join("gpt2")), &AdapterChoice::default(), options);
        let of = [1, 4, 5, text.len() - 1];
        block_on(session.observe_top(&rows(&text, 0), &[], &of, 3)).unwrap().top
    };
    let (parts, whole) = (read(3), read(128));
    let ids = |top: &[Vec<(u32, f32)>]| -> Vec<u32> { top.iter().flatten().map(|p| p.0).collect() };
    assert_eq!(ids(&parts), ids(&whole));
    assert_eq!(parts.len(), 4);
}

/// The lens of a text by its definition: all logits on the host.
#[test]
fn a_lens_reads_on_the_device_what_the_host_would() {
    for name in ["gpt2", "gemma2", "qwen3"] {
        let text = tokens(name)[..6].to_vec();
        let target = 3;
        for mut llm in both(name) {
            let (vocab, width) = (llm.config().vocab, llm.config().width);
            let options = LensOptions { top: 4, target: Some(target), positions: Some(1..5) };
            let read =
                |llm: &Llm| llm.session().map(|session| session.engine().counters().readback_bytes);
            let before = read(&llm);
            let found = block_on(lens(&mut llm, &text, &[], &options)).unwrap();
            let (places, after) = (found.labels.len() as u64, read(&llm));
            let hooks: Vec<Hook> = found.labels.iter().map(|label| place(&llm, label)).collect();
            let seen = block_on(llm.observe(&text, &actions(&[], hooks), &[])).unwrap();
            if let (Some(before), Some(after)) = (before, after) {
                let values = places * (text.len() * padded(width) * 4) as u64;
                assert_eq!(after - before, values + places * 4 * (4 * 8 + 16), "{name}");
            }
            assert_eq!(seen.activations.len(), found.readings.len(), "{name}");
            let mut ends: Vec<f64> = Vec::new();
            for (value, readings) in seen.activations.iter().zip(&found.readings).rev() {
                let own = wide(&block_on(llm.unembed(&value.values[width..5 * width])).unwrap());
                let logprobs = log_softmax(&own, vocab);
                if ends.is_empty() {
                    ends.clone_from(&logprobs);
                }
                assert_eq!((readings.len(), logprobs.len()), (4, 4 * vocab));
                let rows = logprobs.chunks(vocab).zip(ends.chunks(vocab));
                for (at, ((row, end), reading)) in rows.zip(readings).enumerate() {
                    let what = format!("{name} {} {at}", value.hook);
                    let entropy = -row.iter().map(|p| p.exp() * p).sum::<f64>();
                    let kl: f64 = end.iter().zip(row).map(|(q, p)| q.exp() * (q - p)).sum();
                    assert!((reading.entropy - entropy).abs() <= 1e-4, "{what}");
                    assert!((reading.kl - kl).abs() <= 1e-4, "{what}");
                    let own = &own[at * vocab..][..vocab];
                    let before = |(id, x): (usize, &f64)| {
                        let value = own[target as usize];
                        *x > value || (*x == value && id < target as usize)
                    };
                    let rank = own.iter().enumerate().filter(|pair| before(*pair)).count();
                    assert_eq!(reading.rank, Some(rank), "{what}");
                    assert_best(std::slice::from_ref(&reading.top), &[top_k(own, 4)], &what);
                }
            }
        }
    }
}

/// The hook that a label of the lens reads.
fn place(llm: &Llm, label: &str) -> Hook {
    match label.split_once('_').unwrap() {
        ("final", _) => Hook::ResidPost(llm.config().layers - 1),
        (layer, "pre") => Hook::ResidPre(layer.parse().unwrap()),
        (layer, _) => Hook::ResidMid(layer.parse().unwrap()),
    }
}
