//! Logits that are infinite or NaN: an error that names the first layer at fault, never a token.

use std::ops::ControlFlow;

use pellucid::block_on;
use pellucid::checkpoint::{Checkpoint, Param, TensorLayout};
use pellucid::files::Files;
use pellucid::format::Format;
use pellucid::generate::{Backend, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::sampling::Sampling;
use pellucid::train::{Family, Sizes, new_model_in_memory};

/// A Llama of three layers whose second one overflows f32, though each of its weights is finite.
fn overflowing() -> Checkpoint {
    let sizes = Sizes {
        family: Family::Llama,
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
        let large = match (param, layer) {
            (Param::Up, 1) => 1e32,
            (Param::Down, 1) => 1e36,
            _ => 1.0,
        };
        Ok(values.into_iter().map(|value| value * large).collect())
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
