//! The model that is part of the program is as documented.

use std::ops::ControlFlow;
use std::path::Path;

use pellucid::checkpoint::Checkpoint;
use pellucid::generate::{Llm, Options, Request};
use pellucid::tokenizer::{Bos, Encode, Tokenizer};
use pellucid::train::{Data, TrainOptions};

use super::train::trainer;

/// Nats per token over the last tenth of the plays, which it was not trained on; and over its first
/// two batches, for adapters on which the whole would take too long.
const LOSS: f64 = 3.3518;
const LOSS_OF_TWO: f64 = 3.0004;

#[test]
fn the_built_in_model_has_the_loss_that_is_stated() {
    let short = std::env::var("PELLUCID_TEST_ADAPTER").is_ok_and(|name| name == "swiftshader");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/text/plays.txt");
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.len(), 111_540, "the last tenth of the text");
    let checkpoint = Checkpoint::built_in().unwrap();
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint).unwrap().unwrap();
    let plain = Encode { bos: Bos::Never, ..Encode::default() };
    let valid = tokenizer.encode(&text, plain).unwrap();
    assert_eq!(tokenizer.decode(&valid), text);
    let options = TrainOptions { batch: 16, context: 256, ..TrainOptions::default() };
    let most = if short { 2 } else { usize::MAX };
    let batches = Data { valid: valid.into(), ..Data::default() }.validation(&options, most);
    let loss = pollster::block_on(trainer(&checkpoint, options).evaluate(&batches)).unwrap();
    let stated = if short { LOSS_OF_TWO } else { LOSS };
    assert!((loss - stated).abs() < 2e-4, "{loss}, not {stated}");
}

#[test]
fn the_built_in_model_writes_a_scene() {
    let checkpoint = Checkpoint::built_in().unwrap();
    assert!(checkpoint.config().layers == 6 && checkpoint.config().vocab == 1024);
    let options = Options::default();
    let mut llm = pollster::block_on(Llm::open(checkpoint, &options, |_| {})).unwrap();
    let prompt = llm.encode("ROMEO:", Encode::default()).unwrap();
    let request = Request { max_new_tokens: 19, ..Request::default() };
    let on_event = |_| ControlFlow::Continue(());
    let (written, _) = pollster::block_on(llm.generate(&prompt, &request, on_event)).unwrap();
    let text = written.text.unwrap();
    assert!(text.starts_with("\nI'll not believe me, and I'll believe me."), "{text:?}");
}
