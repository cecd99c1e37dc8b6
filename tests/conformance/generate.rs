//! Generation on the device: the tokens of the independent engine, alone and in batches, and how a
//! generation ends.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::{backend, cases, folder, golden, gpu, ids};
use pellucid::checkpoint::{Checkpoint, Param};
use pellucid::generate::{Backend, Chance, Finish, Generation, Llm, Options, Request, TokenTop};
use pellucid::gpu::AdapterChoice;
use pellucid::measure::furthest;
use pellucid::model::{LoadOptions, Model, SessionOptions, plan};
use pellucid::sampling::Sampling;
use pellucid::tokenizer::Encode;
use pollster::block_on;

/// A case's file or folder.
fn model(case: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|e| e == "gguf")).unwrap_or(case.into())
}

fn smollm2() -> PathBuf {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    assert!(path.exists(), "{} is missing: run `cargo xtask models`", path.display());
    path
}

fn load(path: &Path, options: Options) -> Llm {
    load_on(backend(), path, options)
}

fn load_on(backend: Backend, path: &Path, options: Options) -> Llm {
    let options = Options { backend, check: false, tuned: false, ..options };
    block_on(Llm::load(path, &options, |_| {})).unwrap()
}

fn generate(llm: &mut Llm, prompt: &[u32], request: &Request) -> Generation {
    block_on(llm.generate(prompt, request, |_| ControlFlow::Continue(()))).unwrap().0
}

/// The log-probabilities of what was drawn.
fn logprobs(drawn: &[TokenTop]) -> Vec<f32> {
    drawn.iter().map(|token| token.logprob).collect()
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

/// The real model writes what the independent engine writes, up to the first token decided by a
/// margin under 0.01.
#[test]
fn smollm2_writes_what_the_independent_engine_writes() {
    let golden = golden("smollm2");
    let mut llm = load(&smollm2(), Options { context: Some(256), ..Options::default() });
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

/// Decode keeps its promises: one submit and one pass per token, four bytes read back, no allocation.
#[test]
fn a_step_costs_what_it_may() {
    for (case, golden) in cases() {
        let prompt = ids(&golden["greedy"]["prompt"]);
        let mut llm = load(&model(&case), Options::default());
        for (logprobs, bytes) in [(None, 4), (Some(3), 4 + 32)] {
            let found = generate(&mut llm, &prompt, &Request { logprobs, ..greedy(12) });
            let (counters, steps) = found.counters.unwrap();
            let steps = steps as u64;
            assert!(counters.passes <= steps && counters.submits <= steps, "{counters:?}");
            assert_eq!(counters.readback_bytes, bytes * steps, "{}", case.display());
            assert_eq!(counters.allocations, 0, "{}", case.display());
        }
    }
}

/// A device that is lost in the middle of a text is opened again, and the text is the same.
#[test]
fn a_lost_device_costs_no_token() {
    let case = folder().join("llama");
    let prompt = [5, 9, 2, 7];
    let sampling =
        Sampling { temperature: 1.0, repetition_penalty: 1.2, seed: 3, ..Sampling::default() };
    let request = Request { sampling, logprobs: Some(2), ..greedy(14) };
    let own = Backend::Gpu(AdapterChoice::default());
    let mut llm = load_on(own, &case, Options::default());
    let whole = generate(&mut llm, &prompt, &request);
    let mut tokens = Vec::new();
    let mut stream = llm.stream(&prompt, &request).unwrap();
    while let Some(piece) = block_on(stream.next()).unwrap() {
        tokens.push(piece.token);
        if tokens.len() == 5 {
            stream.lose_device();
        }
    }
    let found = block_on(stream.finish()).unwrap();
    assert_eq!((&tokens, &found.tokens), (&whole.tokens, &whole.tokens));
    assert_eq!(found.finish, whole.finish);
    // The next generation has a working device too.
    assert_eq!(generate(&mut llm, &prompt, &request).tokens, whole.tokens);
}

/// The memory planned before loading is the memory then taken.
#[test]
fn the_plan_of_memory_holds() {
    for (case, _) in cases() {
        let checkpoint = Checkpoint::open(&model(&case)).unwrap();
        let gpu = gpu();
        let options = SessionOptions::default();
        let named = Model::named(&checkpoint, LoadOptions::default(), gpu.caps()).unwrap();
        let planned = plan(&gpu, &named, &options).unwrap();
        let mut llm = load(&model(&case), Options::default());
        let prompt = vec![1; llm.context()];
        generate(&mut llm, &prompt, &greedy(1));
        let taken = llm.fit().unwrap();
        let name = case.display();
        assert_eq!((taken.weights, taken.cache), (planned.weights, planned.cache), "{name}");
        // The prompt's last row is read with the first step, so its chunk is a row shorter.
        let (taken, planned) = (taken.activations as f64, planned.activations as f64);
        assert!(taken <= planned && taken > 0.9 * planned, "{name}: {taken} of {planned}");
    }
}

/// Files that mix formats, such as those named `Q4_K_M`: each token fetches what the file holds and
/// at most a fiftieth more. Formats that differ within a layer cost a dispatch each, or two if gate
/// and up differ, since their product is then a dispatch of its own.
#[test]
fn mixed_formats_cost_what_the_file_holds() {
    for (name, extra) in [("gguf-llama-q4-k-m", 1), ("gguf-llama-other-k", 2 + 2)] {
        let path = folder().join(name).join("model.gguf");
        let checkpoint = Checkpoint::open(&path).unwrap();
        let config = checkpoint.config();
        let mut file = 0;
        for part in Param::ALL {
            for layer in 0..if part.in_layer() { config.layers } else { 1 } {
                if !checkpoint.has(part, layer) {
                    continue;
                }
                let matrix = checkpoint.matrix(part, layer).unwrap();
                // From a table that is not also the head, one token is fetched.
                let rows = if part == Param::Embed && !config.tied_head { 1 } else { matrix.rows };
                file += (rows * matrix.row_bytes()) as u64;
            }
        }
        let mut llm = load(&path, Options::default());
        let found = generate(&mut llm, &[5, 9, 2, 7], &greedy(12));
        let (counters, steps) = found.counters.unwrap();
        let bytes = counters.weight_bytes / steps as u64;
        assert!((98 * file..=102 * file).contains(&(100 * bytes)), "{name}: {bytes} for {file}");
        let dispatches = 9 * config.layers as u64 + 4 + extra;
        assert_eq!(counters.dispatches, dispatches * steps as u64, "{name}");
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
        let together: Vec<Vec<u32>> = together.into_iter().map(|text| text.tokens).collect();
        assert_eq!(together, alone, "{}", case.display());
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
    let drawn = first.logprobs.unwrap();
    let gap = furthest(&logprobs(&drawn), &score.logprobs[prompt.len() - 1..]);
    assert!(gap < 1e-4, "off by {gap}");
    for (place, token) in drawn.iter().enumerate() {
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
    let error =
        block_on(llm.generate(&too_long, &greedy(1), |_| ControlFlow::Continue(()))).unwrap_err();
    assert!(error.to_string().contains("context of 12"), "{error}");
    let outside =
        block_on(llm.generate(&[501], &greedy(1), |_| ControlFlow::Continue(()))).unwrap_err();
    assert!(outside.to_string().contains("501"), "{outside}");
    let empty = block_on(llm.generate(&[], &greedy(1), |_| ControlFlow::Continue(()))).unwrap_err();
    assert!(empty.to_string().contains("empty"), "{empty}");
    let long: Vec<u32> = (0..60).map(|i| i * 7 % 501).collect();
    let score = block_on(llm.score(&long, Some(2))).unwrap();
    assert_eq!((score.logprobs.len(), score.top.map(|top| top.len())), (59, Some(60)));
}

/// The reference, for machines without an adapter, writes the same tokens.
#[test]
fn the_reference_writes_the_same() {
    for case in ["gpt2", "llama", "gemma2"] {
        let case = folder().join(case);
        let mut device = load(&case, Options::default());
        let options = Options { backend: Backend::Cpu, ..Options::default() };
        let mut cpu = block_on(Llm::load(&case, &options, |_| {})).unwrap();
        let sampling = Sampling { temperature: 0.8, top_p: 0.9, seed: 5, ..Sampling::default() };
        for sampling in [Sampling::default(), sampling] {
            let request = Request { sampling, logprobs: Some(2), ..greedy(16) };
            let [found, twin] =
                [&mut device, &mut cpu].map(|llm| generate(llm, &[7, 8, 9], &request));
            assert_eq!(found.tokens, twin.tokens);
            let [found, twin] = [found, twin].map(|text| logprobs(&text.logprobs.unwrap()));
            let gap = furthest(&found, &twin);
            assert!(gap < 1e-3, "off by {gap}");
        }
    }
}

/// A conversation's next prompt starts with the last one and its answer: only what is new is read, and
/// the answer is the same as when everything is.
#[test]
fn a_shared_beginning_is_not_read_again() {
    let reuse = Request { logprobs: Some(2), reuse_prefix: true, ..greedy(5) };
    let whole = Request { reuse_prefix: false, ..reuse.clone() };
    for backend in [backend(), Backend::Cpu] {
        let families = |case: &Path| case.ends_with("gpt2") || case.ends_with("llama");
        for (case, golden) in cases().into_iter().filter(|(case, _)| families(case)) {
            let name = case.display();
            let options = Options { backend: backend.clone(), ..Options::default() };
            let model = model(&case);
            let load = || block_on(Llm::load(&model, &options, |_| {})).unwrap();
            let (mut kept, mut fresh) = (load(), load());
            let filled = |llm: &Llm| llm.session().map(|session| session.filled());
            let mut prompt = ids(&golden["greedy"]["prompt"]);
            for turn in 0..3 {
                let before = filled(&kept);
                let (a, b) =
                    (generate(&mut kept, &prompt, &reuse), generate(&mut fresh, &prompt, &whole));
                assert_eq!(a.tokens, b.tokens, "{name}, turn {turn}");
                let both = [&a, &b].map(|text| logprobs(text.logprobs.as_ref().unwrap()));
                let gap = furthest(&both[0], &both[1]);
                assert!(gap < 1e-4, "{name}, turn {turn}: off by {gap}");
                // Of the previous turn, the prompt and all drawn tokens except the last were read.
                let expected = if turn == 0 { 0 } else { prompt.len() - 3 };
                assert_eq!((a.reused, b.reused), (expected, 0), "{name}, turn {turn}");
                let read = (prompt.len() - 1 - expected) as u64;
                assert_eq!(filled(&kept), before.map(|before| before + read), "{name}");
                prompt.extend(&a.tokens);
                prompt.extend([1, 2]);
            }
            // A different prompt reuses the shared beginning; a scored text leaves none.
            let other = [&prompt[..2], &[0, 1, 2]].concat();
            assert_eq!(generate(&mut kept, &other, &reuse).reused, 2, "{name}");
            block_on(kept.score(&other, None)).unwrap();
            assert_eq!(generate(&mut kept, &other, &reuse).reused, 0, "{name}");
            // A generation that was dropped half-way leaves nothing either.
            drop(kept.stream(&other, &reuse).unwrap());
            let again = generate(&mut kept, &other, &reuse);
            assert_eq!(again.reused, 0, "{name}");
            assert_eq!(again.tokens, generate(&mut fresh, &other, &whole).tokens, "{name}");
            // After one that was stopped before its first token, only what was read is known.
            let unlike = [&[3, 4], &prompt[..]].concat();
            let stopped = block_on(kept.stream(&unlike, &reuse).unwrap().finish()).unwrap();
            assert_eq!(stopped.tokens, [0; 0]);
            let after = generate(&mut kept, &unlike, &reuse);
            assert_eq!(after.reused, 0, "{name}");
            assert_eq!(after.tokens, generate(&mut fresh, &unlike, &whole).tokens, "{name}");
        }
    }
}

/// A stop takes effect while a chunk is still in progress: what was read of it is discarded, and what
/// is read later is right.
#[test]
fn a_prompt_can_be_stopped_within_a_chunk() {
    let mut llm = load(&smollm2(), Options { context: Some(64), ..Options::default() });
    let prompt: Vec<u32> = (100..124).collect();
    let expected = generate(&mut llm, &prompt, &greedy(2)).tokens;
    let reuse = Request { reuse_prefix: true, ..greedy(2) };
    // The first eight are read, then more is started, in one way and in the other.
    let read = |llm: &mut Llm, tokens: &[u32]| {
        block_on(async {
            let mut prompt = llm.read(tokens).unwrap();
            while prompt.next().await.unwrap().is_some() {}
            prompt.finish().await.unwrap();
        });
    };
    read(&mut llm, &[7, 8]);
    read(&mut llm, &prompt[..9]);
    let mut part = llm.read(&prompt).unwrap();
    let within = |read: Option<usize>| read.is_some_and(|read| (8..12).contains(&read));
    assert!(within(block_on(part.next()).unwrap()));
    block_on(part.finish()).unwrap();
    let mut stream = llm.stream(&prompt, &reuse).unwrap();
    assert!(within(block_on(stream.read_prompt()).unwrap()));
    let stopped = block_on(stream.finish()).unwrap();
    assert_eq!((stopped.reused, stopped.tokens.len()), (8, 0));
    assert_eq!(stopped.finish, Finish::Interrupted);
    let after = generate(&mut llm, &prompt, &reuse);
    assert_eq!((after.reused, after.tokens), (8, expected));
}

#[test]
fn a_distribution_is_that_of_the_score_and_of_the_reference() {
    let prompt = [5, 9, 200, 31, 7];
    let on = |backend| {
        let options = Options { backend, check: false, ..Options::default() };
        let checkpoint = Checkpoint::built_in().unwrap();
        block_on(Llm::open(checkpoint, &options, |_| {})).unwrap()
    };
    let mut llm = on(backend());
    let sampling = Sampling { temperature: 0.7, top_p: 0.8, ..Sampling::default() };
    let found = block_on(llm.distribution(&prompt, &sampling)).unwrap();
    let top = block_on(llm.score(&prompt, Some(20))).unwrap().top.unwrap();
    let (best, scored): (Vec<u32>, Vec<f32>) = top.last().unwrap().iter().copied().unzip();
    let first = &found[..best.len()];
    assert_eq!(first.iter().map(|chance| chance.token).collect::<Vec<_>>(), best);
    let own: Vec<f64> = first.iter().map(|chance| chance.probability.ln()).collect();
    assert!(furthest(&own, &scored) < 1e-4);
    // The contents of the caches are reused, and do not change the result.
    let again = block_on(llm.distribution(&prompt, &sampling)).unwrap();
    let reference = block_on(on(Backend::Cpu).distribution(&prompt, &sampling)).unwrap();
    for (own, other) in [(&again, &found), (&reference, &found)] {
        for value in [|chance: &Chance| chance.probability, |chance: &Chance| chance.drawn] {
            let [own, other] = [own, other].map(|all| all.iter().map(value).collect::<Vec<f64>>());
            assert!(furthest(&own, &other) < 1e-5);
        }
    }
    // A text may continue from what it leaves in the caches.
    for backend in [backend(), Backend::Cpu] {
        let (mut llm, mut fresh) = (on(backend.clone()), on(backend));
        let reuse = Request { reuse_prefix: true, ..greedy(4) };
        generate(&mut llm, &[40, 41, 42, 43, 44, 45], &reuse);
        block_on(llm.distribution(&prompt, &sampling)).unwrap();
        let found = generate(&mut llm, &prompt, &reuse);
        assert_eq!(found.reused, 4);
        assert_eq!(found.tokens, generate(&mut fresh, &prompt, &greedy(4)).tokens);
    }
    assert!(block_on(llm.distribution(&[], &sampling)).is_err());
    assert!(block_on(llm.distribution(&[1 << 20], &sampling)).is_err());
}
