//! Generation on the device: the tokens of the independent engine, alone and in batches, and the
//! ways in which a generation ends.

use std::path::{Path, PathBuf};

use pellucid::generate::{Backend, Finish, Generation, Llm, Options, Request};
use pellucid::names::Sampling;
use pellucid::text::Encode;
use pollster::block_on;
use serde_json::Value;

use super::{cases, folder, ids};

/// A case's file or folder.
fn model(case: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|e| e == "gguf")).unwrap_or(case.into())
}

fn load(path: &Path, options: Options) -> Llm {
    let backend = Backend::Gpu(pellucid::gpu::AdapterChoice::default());
    block_on(Llm::load(
        path,
        &Options { backend, check: false, tuned: false, ..options },
        &mut |_, _| {},
    ))
    .unwrap()
}

fn generate(llm: &mut Llm, prompt: &[u32], request: &Request) -> Generation {
    block_on(llm.generate(prompt, request, &mut |_| {})).unwrap().0
}

fn greedy(tokens: usize) -> Request {
    Request { max_new_tokens: tokens, ignore_eos: true, ..Request::default() }
}

#[test]
fn greedy_tokens_of_every_family() {
    for (case, golden) in cases() {
        let golden = &golden["greedy"];
        let expected = ids(&golden["tokens"]);
        let mut llm = load(&model(&case), Options::default());
        let found = generate(&mut llm, &ids(&golden["prompt"]), &greedy(expected.len()));
        assert_eq!(found.tokens, expected, "{}", case.display());
        assert_eq!(found.finish, Finish::Length);
    }
}

/// The real model writes what the independent engine writes, up to the first token that hangs by a
/// margin under 0.01.
#[test]
fn smollm2_writes_what_the_independent_engine_writes() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    let golden = std::fs::read_to_string(folder().join("smollm2/golden.json")).unwrap();
    let golden: Value = serde_json::from_str(&golden).unwrap();
    let mut llm = load(&path, Options { context: Some(256), ..Options::default() });
    let short = std::env::var("PELLUCID_TEST_ADAPTER").is_ok_and(|name| name == "swiftshader");
    for greedy_case in golden["greedy"].as_array().unwrap() {
        let prompt = llm.encode(greedy_case["text"].as_str().unwrap(), Encode::default()).unwrap();
        assert_eq!(prompt, ids(&greedy_case["prompt"]), "the tokens of the prompt");
        let margins = greedy_case["margins"].as_array().unwrap();
        let sure = margins.iter().take_while(|margin| margin.as_f64().unwrap() >= 0.01).count();
        let sure = if short { sure.min(16) } else { sure };
        let found = generate(&mut llm, &prompt, &greedy(sure));
        assert_eq!(found.tokens, ids(&greedy_case["tokens"])[..sure]);
        assert!(found.text.is_some_and(|text| !text.is_empty()));
    }
}

/// Decode keeps its promises: one submit and one pass a token, four bytes back, nothing allocated.
#[test]
fn a_step_costs_what_it_may() {
    for (case, golden) in cases() {
        let prompt = ids(&golden["greedy"]["prompt"]);
        let mut llm = load(&model(&case), Options::default());
        for (logprobs, bytes) in [(None, 4), (Some(3), 32)] {
            let found = generate(&mut llm, &prompt, &Request { logprobs, ..greedy(12) });
            let (counters, steps) = found.counters.unwrap();
            let steps = steps as u64;
            assert!(counters.passes <= steps && counters.submits <= steps, "{counters:?}");
            assert_eq!(counters.readback_bytes, bytes * steps, "{}", case.display());
            assert_eq!(counters.allocations, 0, "{}", case.display());
        }
    }
}

#[test]
fn batches_write_what_each_prompt_writes_alone() {
    for case in ["gpt2", "llama", "mistral"] {
        let case = folder().join(case);
        let prompts: [&[u32]; 3] = [&[5, 9, 2, 7, 11, 3], &[1], &[40, 41, 42]];
        let mut llm = load(&case, Options { sequences: 3, ..Options::default() });
        let alone: Vec<Vec<u32>> =
            prompts.iter().map(|prompt| generate(&mut llm, prompt, &greedy(14)).tokens).collect();
        let together = block_on(llm.generate_batch(&prompts, &greedy(14))).unwrap();
        for (alone, together) in alone.iter().zip(together) {
            assert_eq!(&together.tokens, alone, "{}", case.display());
        }
    }
}

#[test]
fn a_seed_gives_the_same_text_and_probabilities_are_those_of_the_score() {
    let case = folder().join("llama");
    let mut llm = load(&case, Options::default());
    let sampling = Sampling {
        temperature: 0.9,
        top_k: 40,
        top_p: 0.95,
        repetition_penalty: 1.1,
        seed: 12,
        ..Sampling::default()
    };
    let request = Request { sampling, logprobs: Some(4), ..greedy(20) };
    let prompt = [3, 1, 4, 1, 5];
    let first = generate(&mut llm, &prompt, &request);
    let again = generate(&mut llm, &prompt, &request);
    assert_eq!((&first.tokens, &first.logprobs), (&again.tokens, &again.logprobs));
    let other = Request { sampling: Sampling { seed: 13, ..sampling }, ..request.clone() };
    assert_ne!(generate(&mut llm, &prompt, &other).tokens, first.tokens);

    let text = [&prompt[..], &first.tokens].concat();
    let score = block_on(llm.score(&text, Some(4))).unwrap();
    for (place, token) in first.logprobs.unwrap().iter().enumerate() {
        let scored = score.logprobs[prompt.len() - 1 + place];
        assert!((token.logprob - scored).abs() < 1e-4, "{} {scored}", token.logprob);
        let best = &score.top.as_ref().unwrap()[prompt.len() - 1 + place];
        assert_eq!(token.top[0].0, best[0].0, "the most probable token");
    }
}

#[test]
fn a_full_context_is_a_clear_end() {
    let case = folder().join("gpt2");
    let mut llm = load(&case, Options { context: Some(12), ..Options::default() });
    let found = generate(&mut llm, &[1, 2, 3, 4], &greedy(50));
    assert_eq!(found.finish, Finish::Context);
    assert_eq!(found.tokens.len(), 12 + 1 - 4, "the last token needs no room of its own");
    let too_long: Vec<u32> = (0..13).collect();
    let error = block_on(llm.generate(&too_long, &greedy(1), &mut |_| {})).unwrap_err();
    assert!(error.to_string().contains("context of 12"), "{error}");
    let outside = block_on(llm.generate(&[501], &greedy(1), &mut |_| {})).unwrap_err();
    assert!(outside.to_string().contains("501"), "{outside}");
    let empty = block_on(llm.generate(&[], &greedy(1), &mut |_| {})).unwrap_err();
    assert!(empty.to_string().contains("empty"), "{empty}");
    let long: Vec<u32> = (0..60).map(|i| i * 7 % 501).collect();
    let score = block_on(llm.score(&long, Some(2))).unwrap();
    assert_eq!((score.logprobs.len(), score.top.map(|top| top.len())), (59, Some(60)));
}

/// The reference writes the same tokens, for machines without an adapter.
#[test]
fn the_reference_writes_the_same() {
    for case in ["gpt2", "llama"] {
        let case = folder().join(case);
        let mut device = load(&case, Options::default());
        let options = Options { backend: Backend::Cpu, ..Options::default() };
        let mut cpu = block_on(Llm::load(&case, &options, &mut |_, _| {})).unwrap();
        let sampling = Sampling { temperature: 0.8, top_p: 0.9, seed: 5, ..Sampling::default() };
        for sampling in [Sampling::default(), sampling] {
            let request = Request { sampling, logprobs: Some(2), ..greedy(16) };
            let [found, twin] =
                [&mut device, &mut cpu].map(|llm| generate(llm, &[7, 8, 9], &request));
            assert_eq!(found.tokens, twin.tokens);
            for (a, b) in found.logprobs.unwrap().iter().zip(twin.logprobs.unwrap()) {
                assert!((a.logprob - b.logprob).abs() < 1e-3, "{a:?} {b:?}");
            }
        }
    }
}
