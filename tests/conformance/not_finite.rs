//! Logits that are infinite or NaN: an error that names the first layer at fault, never a token.

use std::ops::ControlFlow;

use pellucid::checkpoint::{Checkpoint, Param, TensorLayout};
use pellucid::files::Files;
use pellucid::format::Format;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::measure;
use pellucid::ops::CacheFormat;
use pellucid::sampling::Sampling;
use pellucid::train::{Family, Sizes, new_model_in_memory};
use pellucid::{Remedy, block_on};

/// A Llama of three layers whose second one overflows f32, though each of its weights is finite.
fn overflowing() -> Checkpoint {
    scaled(Family::Llama, &|param, layer| match (param, layer) {
        (Param::Up, 1) => 1e32,
        (Param::Down, 1) => 1e36,
        _ => 1.0,
    })
}

/// A model of three layers, some of whose weights are multiplied.
fn scaled(family: Family, factor: &dyn Fn(Param, usize) -> f32) -> Checkpoint {
    let sizes = Sizes {
        family,
        layers: 3,
        heads: 2,
        width: 16,
        context: 64,
        vocab: 40,
        ..Sizes::default()
    };
    let files = new_model_in_memory(&sizes.config(None), 1, []).unwrap();
    let sound = Checkpoint::open_files(files.clone()).unwrap();
    let mut values = |param: Param, layer| {
        let matrix = sound.matrix(param, layer)?;
        let values = matrix.values(0..matrix.rows)?;
        Ok(values.into_iter().map(|value| value * factor(param, layer)).collect())
    };
    let (mut bytes, name) = (Vec::new(), "model.safetensors");
    let layout = TensorLayout::of(&sound).unwrap();
    layout.write_to(&mut bytes, name.as_ref(), Format::F32, &mut values).unwrap();
    let config = files.bytes("config.json", 1 << 20).unwrap();
    let files = [("config.json".to_owned(), config), (name.to_owned(), bytes)];
    Checkpoint::open_files(Files::in_memory("overflowing", files)).unwrap()
}

fn open(backend: Backend) -> Llm {
    let options =
        Options { backend, check: false, tuned: false, sequences: 2, ..Options::default() };
    block_on(Llm::open(overflowing(), &options, |_| {})).unwrap()
}

/// The prompt: longer than the rows of which the first fault is sought at once.
fn prompt() -> Vec<u32> {
    (0..20).collect()
}

#[test]
fn logits_that_are_not_finite_end_a_text_and_name_the_layer() {
    let mut llm = open(Backend::Gpu(AdapterChoice::default()));
    let prompt = prompt();
    let expected = "the logits after 20 tokens are infinite or NaN, so there is no next one; the \
                    first values at fault are those of layer 1 (blocks.1.hook_resid_post)";
    let greedy = Request { max_new_tokens: 4, ..Request::default() };
    let warm = Sampling { temperature: 1.0, top_k: 5, top_p: 0.9, ..Sampling::default() };
    let penalised = Sampling { repetition_penalty: 1.5, ..warm };
    for request in [
        greedy.clone(),
        Request { sampling: warm, ..greedy.clone() },
        Request { sampling: penalised, ..greedy.clone() },
        Request { logprobs: Some(3), ..greedy.clone() },
    ] {
        let drawn = block_on(llm.generate(&prompt, &request, |_| ControlFlow::Continue(())));
        assert_eq!(drawn.unwrap_err().to_string(), expected);
        let both = block_on(llm.generate_batch(&[&prompt, &prompt], &request));
        assert_eq!(both.unwrap_err().to_string(), expected);
    }
    let chances = block_on(llm.distribution(&prompt, &Sampling::default()));
    assert_eq!(chances.unwrap_err().to_string(), expected);
    for top in [None, Some(2)] {
        let score = block_on(llm.score(&prompt, top)).unwrap_err().to_string();
        // Already the first token's logits are at fault.
        assert_eq!(score, expected.replace("20 tokens", "1 tokens"));
    }
}

#[test]
fn the_reference_has_room_for_what_overflows_on_a_device() {
    let mut llm = open(Backend::Cpu);
    let request = Request { max_new_tokens: 4, ..Request::default() };
    let drawn = block_on(llm.generate(&prompt(), &request, |_| ControlFlow::Continue(())));
    assert_eq!(drawn.unwrap().0.tokens.len(), 4);
    let score = block_on(llm.score(&prompt(), None)).unwrap();
    assert!(score.logprobs.iter().all(|logprob| logprob.is_finite()));
}

/// Keys or values of about 1e5 and more in the second layer, whose effect the next weights undo:
/// a cache in f16 has no such numbers.
fn beyond_f16(family: Family, which: Param) -> Checkpoint {
    scaled(family, &|param, layer| match (which, param) {
        _ if layer != 1 => 1.0,
        (Param::K, Param::K) | (Param::V, Param::V) => 1e7,
        (Param::K, Param::Q) | (Param::V, Param::Out) => 1e-7,
        _ => 1.0,
    })
}

#[test]
fn keys_and_values_that_a_cache_in_f16_cannot_hold_are_told() {
    let prompt = prompt();
    for (family, param, which) in [
        (Family::Llama, Param::K, "keys"),
        (Family::Llama, Param::V, "values"),
        (Family::Gpt2, Param::K, "keys"),
        (Family::Gpt2, Param::V, "values"),
    ] {
        let open = |backend, cache| {
            let options =
                Options { backend, cache, check: false, tuned: false, ..Options::default() };
            block_on(Llm::open(beyond_f16(family, param), &options, |_| {})).unwrap()
        };
        let device = || Backend::Gpu(AdapterChoice::default());
        let mut half = open(device(), CacheFormat::F16);
        let request = Request { max_new_tokens: 4, ..Request::default() };
        let drawn = block_on(half.generate(&prompt, &request, |_| ControlFlow::Continue(())));
        let told = drawn.unwrap_err();
        assert_eq!(
            told.to_string(),
            format!(
                "the logits after 20 tokens are infinite or NaN, so there is no next one; the first \
                 values at fault are the {which} of layer 1, which lie beyond ±65504, the range of a \
                 cache in f16; store keys and values as f32"
            )
        );
        assert_eq!(told.remedies(), [Remedy::CacheF32]);
        let told = block_on(half.score(&prompt, None)).unwrap_err().to_string();
        assert!(told.contains(&format!("the {which} of layer 1, which lie beyond")), "{told}");
        let mut full = open(device(), CacheFormat::F32);
        let right = block_on(open(Backend::Cpu, CacheFormat::F32).score(&prompt, None)).unwrap();
        let found = block_on(full.score(&prompt, None)).unwrap();
        assert!(measure::furthest(&found.logprobs, &right.logprobs) < 1e-3);
    }
}
