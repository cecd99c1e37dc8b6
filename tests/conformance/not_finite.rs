//! Logits that are infinite or NaN: an error that names the first layer at fault, never a token.

use std::ops::ControlFlow;

use pellucid::checkpoint::{Checkpoint, Param, TensorLayout};
use pellucid::files::Files;
use pellucid::format::Format;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::measure;
use pellucid::ops::CacheFormat;
use pellucid::sampling::Sampling;
use pellucid::train::{Family, Sizes, new_model_in_memory};
use pellucid::{Error, Remedy, block_on};

use super::backend;

const LLAMA: Sizes = Sizes {
    family: Family::Llama,
    layers: 3,
    heads: 2,
    kv_heads: None,
    width: 16,
    hidden: None,
    context: 64,
    vocab: 40,
    untied: false,
};

/// A Llama of three layers whose second one overflows f32, though each of its weights is finite.
fn overflowing() -> Checkpoint {
    changed(&LLAMA, |param, layer, values| {
        let large = match (param, layer) {
            (Param::Up, 1) => 1e32,
            (Param::Down, 1) => 1e36,
            _ => 1.0,
        };
        values.iter_mut().for_each(|value| *value *= large);
    })
}

/// A model of three layers, some of whose weights are multiplied.
fn scaled(family: Family, factor: &dyn Fn(Param, usize) -> f32) -> Checkpoint {
    changed(&Sizes { family, ..LLAMA }, |param, layer, values| {
        values.iter_mut().for_each(|value| *value *= factor(param, layer));
    })
}

/// A new model with some of its weights changed.
fn changed(sizes: &Sizes, change: impl Fn(Param, usize, &mut [f32])) -> Checkpoint {
    let files = new_model_in_memory(&sizes.config(None), 1, []).unwrap();
    let sound = Checkpoint::open_files(files.clone()).unwrap();
    let mut values = |param: Param, layer| {
        let matrix = sound.matrix(param, layer)?;
        let mut values = matrix.values(0..matrix.rows)?;
        change(param, layer, &mut values);
        Ok(values)
    };
    let (mut bytes, name) = (Vec::new(), "model.safetensors");
    let layout = TensorLayout::of(&sound).unwrap();
    layout.write_to(&mut bytes, name.as_ref(), Format::F32, &mut values).unwrap();
    let config = files.bytes("config.json", 1 << 20).unwrap();
    let files = [("config.json".to_owned(), config), (name.to_owned(), bytes)];
    Checkpoint::open_files(Files::in_memory("overflowing", files)).unwrap()
}

fn open(backend: Backend) -> Llm {
    open_model(overflowing(), backend)
}

fn open_model(checkpoint: Checkpoint, backend: Backend) -> Llm {
    let options =
        Options { backend, check: false, tuned: false, sequences: 2, ..Options::default() };
    block_on(Llm::open(checkpoint, &options, |_| {})).unwrap()
}

/// The prompt: longer than the rows of which the first fault is sought at once.
fn prompt() -> Vec<u32> {
    (0..20).collect()
}

#[test]
fn logits_that_are_not_finite_end_a_text_and_name_the_layer() {
    let mut llm = open(backend());
    let prompt = prompt();
    let expected = "the logits after 20 tokens are infinite or NaN, so there is no next one; the \
                    first values at fault are those of layer 1 (blocks.1.hook_resid_post)";
    let greedy = Request { max_new_tokens: 4, ..Request::default() };
    let warm = Sampling { temperature: 1.0, top_k: 5, top_p: 0.9, ..Sampling::default() };
    let penalized = Sampling { repetition_penalty: 1.5, ..warm };
    for request in [
        greedy.clone(),
        Request { sampling: warm, ..greedy.clone() },
        Request { sampling: penalized, ..greedy.clone() },
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

/// A text that ended so leaves nothing behind, in caches or in the padding of rows: the texts after it are
/// those of a model that never read it.
#[test]
fn a_text_that_overflowed_leaves_nothing_behind() {
    let odd =
        Sizes { heads: 6, kv_heads: Some(3), width: 36, hidden: Some(50), untied: true, ..LLAMA };
    let gpt2 = Sizes { family: Family::Gpt2, kv_heads: None, ..odd };
    for sizes in [odd, gpt2] {
        // Only token 7 overflows: the mean of its row, or what it alone has at place 5.
        let width = sizes.width;
        let model = || {
            changed(&sizes, |param, _, values| match (sizes.family, param) {
                // It is never drawn.
                (_, Param::Head) => values[7 * width..8 * width].fill(0.0),
                (Family::Gpt2, Param::Embed) => values[7 * width + 1..8 * width].fill(3e38),
                (Family::Gpt2, _) => {}
                (_, Param::Embed) => {
                    values.iter_mut().skip(5).step_by(width).for_each(|value| *value = 0.0);
                    values[7 * width + 5] = 1e9;
                }
                (_, Param::Up) => {
                    values.iter_mut().skip(5).step_by(width).for_each(|value| *value = 1e38);
                }
                (_, Param::Out | Param::Down) => {
                    let inputs = values.len() / width;
                    values[5 * inputs..6 * inputs].fill(0.0);
                }
                _ => {}
            })
        };
        let [mut own, mut fresh] = [(); 2].map(|()| open_model(model(), backend()));
        let long: Vec<u32> = (8..40).collect();
        let wrong = [&long[..], &[7, 8]].concat();
        let request = Request { max_new_tokens: 6, logprobs: Some(2), ..Request::default() };
        for (length, others) in [(3, 2), (17, 9), (32, 1)] {
            let error = block_on(own.generate(&wrong, &request, |_| ControlFlow::Continue(())))
                .unwrap_err();
            assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
            let score = block_on(own.score(&wrong, None)).unwrap_err();
            assert!(matches!(score, Error::NotFinite { .. }), "{score:?}");
            let both = [&long[..length], &long[others..length]];
            let found = [&mut own, &mut fresh].map(|llm| {
                let batch = block_on(llm.generate_batch(&both, &request)).unwrap();
                let score = block_on(llm.score(both[0], Some(2))).unwrap();
                let one = block_on(llm.generate(both[0], &request, |_| ControlFlow::Continue(())));
                let drawn = batch.into_iter().chain([one.unwrap().0]);
                let drawn: Vec<_> = drawn.map(|one| (one.tokens, one.logprobs)).collect();
                format!("{drawn:?} {score:?}")
            });
            assert_eq!(found[0], found[1]);
        }
    }
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
        let device = || backend();
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
