//! Prompt caches in files: the same continuation, and a clear error for every file that is not one.

use std::ops::ControlFlow;
use std::path::Path;

use pellucid::generate::{Backend, Generation, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::model::SessionOptions;
use pellucid::ops::CacheFormat;
use pellucid::select::KernelSelection;
use pollster::block_on;

use super::{backend, checkpoint, folder, gpu_with, rows, session_with};

const PROMPT: [u32; 9] = [3, 1, 4, 1, 5, 9, 2, 6, 5];

fn load(name: &str, options: &Options) -> Llm {
    block_on(Llm::load(folder().join(name), options, |_| {})).unwrap()
}

fn on(backend: &Backend) -> Options {
    Options { backend: backend.clone(), ..Options::default() }
}

fn generate(llm: &mut Llm, prompt: &[u32]) -> Generation {
    let request = Request {
        max_new_tokens: 6,
        ignore_eos: true,
        reuse_prefix: true,
        logprobs: Some(1),
        ..Request::default()
    };
    block_on(llm.generate(prompt, &request, |_| ControlFlow::Continue(()))).unwrap().0
}

#[test]
fn a_restored_cache_goes_on_alike() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("prompt.cache");
    let f16 = Options { cache: CacheFormat::F16, ..on(&backend()) };
    for options in [on(&backend()), f16, on(&Backend::Cpu)] {
        for name in ["gpt2", "llama"] {
            let mut llm = load(name, &options);
            let first = generate(&mut llm, &PROMPT);
            assert_eq!(block_on(llm.save_cache(&file)).unwrap(), PROMPT.len() + 5);
            let longer = [&PROMPT[..], &first.tokens, &[7]].concat();
            let expected = generate(&mut llm, &longer);
            assert_eq!(expected.reused, PROMPT.len() + 5);

            let mut other = load(name, &options);
            assert_eq!(other.load_cache(&file).unwrap(), PROMPT.len() + 5);
            let found = generate(&mut other, &longer);
            assert_eq!(found.reused, expected.reused, "{name}");
            // The same pieces are read, so the bits are the same.
            assert_eq!((found.tokens, found.logprobs), (expected.tokens, expected.logprobs));
        }
    }
    let left: Vec<_> = place.path().read_dir().unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(left.len(), 1, "only the file itself is left: {left:?}");
}

/// A cache in one part and one in several save the same bytes, and restore them.
#[test]
fn the_bytes_of_a_cache_do_not_depend_on_its_parts() {
    let narrow = AdapterChoice { max_binding: Some(40 << 10), ..AdapterChoice::default() };
    let checkpoint = checkpoint(&folder().join("llama"));
    let options = SessionOptions { sequences: 60, chunk: Some(3), ..SessionOptions::default() };
    let mut found = Vec::new();
    for choice in [AdapterChoice::default(), narrow] {
        let open = || {
            let gpu = gpu_with(&choice);
            let selection = KernelSelection::defaults(gpu.caps());
            session_with(gpu, selection, &checkpoint, options)
        };
        let mut full = open();
        block_on(full.fill(&rows(&PROMPT, 0))).unwrap();
        // Those of the first layer; attention, which merges parts in another order, is later.
        let [keys, values] = block_on(full.read_cache(0, PROMPT.len())).unwrap();
        let mut empty = open();
        empty.write_cache(0, &keys, &values).unwrap();
        let again = block_on(empty.read_cache(0, PROMPT.len())).unwrap();
        assert_eq!(again, [keys.clone(), values.clone()]);
        found.push([keys, values]);
    }
    assert_eq!(found[0], found[1]);
    assert!(found[0].iter().flatten().any(|byte| *byte != 0), "something was read");
}

/// Keys depend on every weight, not only on the first ones of each tensor.
#[test]
fn a_cache_is_of_one_models_weights_to_the_last_bit() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("prompt.cache");
    for backend in [backend(), Backend::Cpu] {
        let mut llm = load("llama", &on(&backend));
        generate(&mut llm, &PROMPT);
        block_on(llm.save_cache(&file)).unwrap();
        let other = place.path().join("other");
        std::fs::create_dir_all(&other).unwrap();
        for name in ["config.json", "model.safetensors"] {
            std::fs::copy(folder().join("llama").join(name), other.join(name)).unwrap();
        }
        let open = || block_on(Llm::load(&other, &on(&backend), |_| {})).unwrap();
        // A copy is the same model.
        assert_eq!(open().load_cache(&file).unwrap(), PROMPT.len() + 5);
        let weights = other.join("model.safetensors");
        let mut bytes = std::fs::read(&weights).unwrap();
        let last = bytes.len() - 4;
        bytes[last] ^= 1;
        std::fs::write(&weights, bytes).unwrap();
        let message = open().load_cache(&file).unwrap_err().to_string();
        assert!(message.contains("by another model of the same sizes"), "{message}");
    }
}

/// `LongRoPE` rotates keys otherwise beyond the original context of 20; one cache cannot serve both.
#[test]
fn a_cache_is_of_one_rotation() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("prompt.cache");
    let open =
        |context| load("phi3-long", &Options { context: Some(context), ..on(&Backend::Cpu) });
    let mut llm = open(20);
    generate(&mut llm, &PROMPT);
    block_on(llm.save_cache(&file)).unwrap();
    assert_eq!(open(19).load_cache(&file).unwrap(), PROMPT.len() + 5);
    for context in [21, 40] {
        let message = open(context).load_cache(&file).unwrap_err().to_string();
        let expected = format!(
            "was saved with a context of 20, for which this model rotates keys differently than for {context}"
        );
        assert!(message.contains(&expected), "{message}");
    }
}

/// A pipe is no place for a rename, and its length is not known before its end.
#[cfg(unix)]
#[test]
fn a_cache_passes_through_a_pipe() {
    let place = tempfile::tempdir().unwrap();
    let (pipe, file) = (place.path().join("pipe"), place.path().join("file"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut llm = load("llama", &on(&Backend::Cpu));
    generate(&mut llm, &PROMPT);
    block_on(llm.save_cache(&file)).unwrap();
    let expected = std::fs::read(&file).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read(pipe).unwrap()
    });
    block_on(llm.save_cache(&pipe)).unwrap();
    assert_eq!(reader.join().unwrap(), expected);

    let through = |bytes: Vec<u8>| {
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            // Whoever refuses the beginning does not read the rest.
            move || drop(std::fs::write(pipe, bytes))
        });
        let loaded = load("llama", &on(&Backend::Cpu)).load_cache(&pipe);
        writer.join().unwrap();
        loaded
    };
    assert_eq!(through(expected.clone()).unwrap(), PROMPT.len() + 5);
    let message = through([&expected[..], &[0]].concat()).unwrap_err().to_string();
    assert!(message.contains("goes on after its end"), "{message}");
    let message = through(expected[..expected.len() - 9].to_vec()).unwrap_err().to_string();
    assert!(message.contains("is truncated"), "{message}");
}

#[test]
fn what_is_no_cache_of_this_model_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("prompt.cache");
    let cpu = on(&Backend::Cpu);
    let mut llm = load("llama", &cpu);
    generate(&mut llm, &PROMPT);
    block_on(llm.save_cache(&file)).unwrap();
    let whole = std::fs::read(&file).unwrap();

    let refusal = |llm: &mut Llm, path: &Path| {
        let message = llm.load_cache(path).unwrap_err().to_string();
        assert!(message.starts_with(&path.display().to_string()), "{message}");
        message
    };
    assert!(refusal(&mut load("gpt2", &cpu), &file).contains("by another model"));
    let found = refusal(&mut load("llama", &on(&backend())), &file);
    assert!(found.contains("with another layout of keys and values"), "{found}");
    let small = Options { context: Some(10), ..cpu };
    let message = load("llama", &small).load_cache(&file).unwrap_err().to_string();
    assert!(message.starts_with("14 tokens do not fit into a context of 10"), "{message}");

    let damaged = place.path().join("damaged.cache");
    let mut with = |bytes: &[u8]| {
        std::fs::write(&damaged, bytes).unwrap();
        refusal(&mut llm, &damaged)
    };
    assert!(with(b"PELLUCIDITY").contains("is not a saved prompt cache"));
    assert!(with(b"GGUF").contains("is not a saved prompt cache"));
    for end in (0..whole.len()).step_by(61).chain([whole.len() - 1]) {
        with(&whole[..end]);
    }
    assert!(with(&[&whole[..], &[0]].concat()).contains("which is not what it claims"));
    for at in (0..whole.len()).step_by(199) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        with(&flipped);
    }
    let mut flipped = whole.clone();
    flipped[whole.len() - 20] ^= 1;
    assert!(with(&flipped).contains("is damaged: its contents do not match"));
    // A cache that could not be restored is not reused.
    assert_eq!(generate(&mut llm, &PROMPT).reused, 0);

    let nowhere = place.path().join("no/such/folder/prompt.cache");
    let message = block_on(llm.save_cache(&nowhere)).unwrap_err().to_string();
    assert!(message.starts_with(&nowhere.display().to_string()), "{message}");
}
