//! Functions of a caller's own at named values: against edits that do the same, and the device against the
//! reference.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pellucid::generate::{Backend, Generation, Llm, Options, Request};
use pellucid::gpu::AdapterChoice;
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{
    Action, Change, Edit, HookFn, HookValue, Place, Session, SessionOptions, copied, hooks,
};
use pellucid::{Error, Result};
use pollster::block_on;

use super::{backend, checkpoint, folder, golden, ids, rows, session};

fn open(name: &str, options: SessionOptions) -> Session {
    session(&checkpoint(&folder().join(name)), &AdapterChoice::default(), options)
}

fn llm(name: &str, backend: Backend, sequences: usize) -> Llm {
    let options = Options { backend, sequences, check: false, tuned: false, ..Options::default() };
    block_on(Llm::open(checkpoint(&folder().join(name)), &options, |_| {})).unwrap()
}

/// The model on the device, and on the reference.
pub(super) fn both(name: &str) -> [Llm; 2] {
    [backend(), Backend::Cpu].map(|backend| llm(name, backend, 1))
}

pub(super) fn tokens(name: &str) -> Vec<u32> {
    ids(&golden(name)["sequences"][0]["tokens"])
}

fn call(function: impl FnMut(HookValue<'_>) -> Result<()> + Send + 'static) -> Edit {
    Edit::all(Change::Call(HookFn::new(function)))
}

fn double() -> Edit {
    call(|value| {
        value.values.iter_mut().for_each(|x| *x *= 2.0);
        Ok(())
    })
}

pub(super) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

pub(super) fn generate(llm: &mut Llm, prompt: &[u32], edits: Vec<(Hook, Edit)>) -> Generation {
    let request = Request {
        max_new_tokens: 5,
        ignore_eos: true,
        logprobs: Some(2),
        edits,
        ..Request::default()
    };
    block_on(llm.generate(prompt, &request, |_| ControlFlow::Continue(()))).unwrap().0
}

pub(super) fn logprobs(generation: &Generation) -> Vec<f32> {
    generation.logprobs.iter().flatten().map(|token| token.logprob).collect()
}

/// Every value of a layer, and those before and after the layers.
fn places(session: &Session) -> Vec<Hook> {
    let of_layer = |hook: &Hook| hook.layer().is_none_or(|layer| layer == 1);
    hooks(&session.model().config).into_iter().filter(of_layer).collect()
}

#[test]
fn a_function_that_doubles_is_an_edit_that_doubles() {
    for name in ["gpt2", "gemma2", "qwen3"] {
        let tokens = tokens(name)[..7].to_vec();
        let mut session = open(name, SessionOptions::default());
        for hook in places(&session) {
            let mut run = |edit: Edit| {
                let actions = [(hook, Action::Edit(edit)), (hook, Action::Read)];
                block_on(session.observe(&rows(&tokens, 0), &actions)).unwrap()
            };
            let (found, expected) = (run(double()), run(Edit::all(Change::Scale(2.0))));
            assert_eq!(bits(&found.logits), bits(&expected.logits), "{name} {hook}");
            assert_eq!(found.activations, expected.activations, "{name} {hook}");
        }
    }
}

#[test]
fn a_function_that_changes_nothing_leaves_every_bit() {
    for name in ["gpt2", "gemma2", "qwen3"] {
        let tokens = tokens(name)[..7].to_vec();
        let mut session = open(name, SessionOptions::default());
        let plain = block_on(session.observe(&rows(&tokens, 0), &[])).unwrap();
        for hook in places(&session) {
            let mut run = |actions: &[(Hook, Action)]| {
                block_on(session.observe(&rows(&tokens, 0), actions)).unwrap().logits
            };
            let found = run(&[(hook, Action::Edit(call(|_| Ok(()))))]);
            // What a fused kernel hides is computed step by step if it is read as well.
            let expected =
                if copied(hook) { plain.logits.clone() } else { run(&[(hook, Action::Read)]) };
            assert_eq!(bits(&found), bits(&expected), "{name} {hook}");
        }
    }
}

/// In prefill, in small chunks, in decode and in scores; values of each layer, so that runs stop often.
#[test]
fn functions_act_in_the_prompt_and_on_drawn_tokens() {
    for name in ["gpt2", "llama"] {
        let prompt = tokens(name)[..6].to_vec();
        let mut device = llm(name, backend(), 1);
        let places = [Hook::MlpPost(0), Hook::ResidPost(0), Hook::Z(1), Hook::AttnScores(1)];
        let edits = |edit: &dyn Fn() -> Edit| places.map(|hook| (hook, edit())).to_vec();
        let found = generate(&mut device, &prompt, edits(&double));
        let scale = || Edit::all(Change::Scale(2.0));
        let expected = generate(&mut device, &prompt, edits(&scale));
        assert_eq!(found.tokens, expected.tokens, "{name}");
        assert_eq!(bits(&logprobs(&found)), bits(&logprobs(&expected)), "{name}");
        let idle = generate(&mut device, &prompt, edits(&|| call(|_| Ok(()))));
        assert_ne!(bits(&logprobs(&found)), bits(&logprobs(&idle)), "{name}: doubling is seen");

        let options = SessionOptions { chunk: Some(4), ..SessionOptions::default() };
        let mut session = open(name, options);
        let mut scores = |edits: &[(Hook, Edit)]| {
            session.set_edits(edits).unwrap();
            let (rows, next) = (rows(&prompt[..5], 0), &prompt[1..]);
            bits(&block_on(session.score(&rows, next, Some(2))).unwrap().logprobs)
        };
        assert_eq!(scores(&edits(&double)), scores(&edits(&scale)), "{name}");
    }
}

/// Which rows, sizes and names a function is told.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Seen>>>);

/// The shape of a value, and its rows.
type Seen = (Vec<usize>, Vec<Place>);

impl Calls {
    fn edit(&self) -> Edit {
        let calls = Arc::clone(&self.0);
        call(move |value| {
            assert_eq!(value.values.len(), value.shape.iter().product::<usize>());
            calls.lock().unwrap().push((value.shape.to_vec(), value.rows.to_vec()));
            Ok(())
        })
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[test]
fn a_function_is_told_which_tokens_it_gets() {
    let (name, calls) = ("llama", Calls::default());
    let prompt = tokens(name)[..6].to_vec();
    for mut llm in both(name) {
        let config = llm.config().clone();
        let whole = (Hook::ResidPost(1), calls.edit());
        let drawn = generate(&mut llm, &prompt, vec![whole]).tokens.len();
        let (mut positions, mut seen) = (Vec::new(), 0);
        for (shape, places) in calls.take() {
            assert_eq!(shape, [places.len(), config.width]);
            assert!(places.iter().all(|place| place.sequence == 0));
            positions.extend(places.iter().map(|place| place.position as usize));
            seen += 1;
        }
        // All that is read: every token but the last drawn one, each once.
        assert_eq!(positions, (0..prompt.len() + drawn - 1).collect::<Vec<_>>());
        assert!(seen >= drawn, "a call for each step");

        // The part that the edit names.
        let part =
            Edit { positions: Some(2..4), heads: Some(1..3), columns: Some(0..5), ..calls.edit() };
        let actions = [(Hook::Z(0), Action::Edit(part))];
        block_on(llm.observe(&prompt, &actions, &[])).unwrap();
        let at = |position| Place { position, sequence: 0 };
        assert_eq!(calls.take(), [(vec![2, 2, 5], vec![at(2), at(3)])]);
        let part = Edit { heads: Some(3..4), ..calls.edit() };
        block_on(llm.observe(&prompt, &[(Hook::Pattern(0), Action::Edit(part))], &[])).unwrap();
        assert_eq!(calls.take(), [(vec![1, 6, 6], (0..6).map(at).collect())]);
    }
    // Several texts side by side.
    let mut device = llm(name, backend(), 2);
    let request = Request {
        max_new_tokens: 2,
        ignore_eos: true,
        edits: vec![(Hook::ResidPost(1), calls.edit())],
        ..Request::default()
    };
    block_on(device.generate_batch(&[&prompt, &prompt[..3]], &request)).unwrap();
    let at = |position, sequence| Place { position, sequence };
    let last: Vec<_> = calls.take().into_iter().rev().take(2).map(|(_, places)| places).collect();
    assert_eq!(last, [[at(6, 0), at(3, 1)], [at(5, 0), at(2, 1)]]);
}

/// The largest numbers of each row are cut off: no edit can say that.
fn clamp() -> Edit {
    call(|value| {
        let width = value.values.len() / value.shape[0];
        for row in value.values.chunks_mut(width) {
            let most = row.iter().copied().map(f32::abs).reduce(f32::max).unwrap_or(0.0) / 2.0;
            row.iter_mut().for_each(|x| *x = x.clamp(-most, most));
        }
        Ok(())
    })
}

#[test]
fn a_function_does_the_same_on_the_device_and_on_the_reference() {
    for name in ["gpt2", "gemma2", "qwen3"] {
        let prompt = tokens(name)[..6].to_vec();
        let edits = || vec![(Hook::MlpPost(0), clamp()), (Hook::Q(1), clamp())];
        let [mut device, mut reference] = both(name);
        let plain = logprobs(&generate(&mut device, &prompt, Vec::new()));
        let found = generate(&mut device, &prompt, edits());
        let expected = generate(&mut reference, &prompt, edits());
        assert_eq!(found.tokens, expected.tokens, "{name}");
        let error = furthest(&logprobs(&found), &logprobs(&expected));
        assert!(error <= 1e-3, "{name}: {error:.1e}");
        assert!(furthest(&logprobs(&found), &plain) > 1e-2, "{name}: clamping is seen");
    }
}

#[test]
fn what_a_function_read_is_never_reused() {
    let prompt = tokens("llama")[..6].to_vec();
    for mut llm in both("llama") {
        let edits = vec![(Hook::ResidPost(0), double())];
        let request =
            Request { max_new_tokens: 1, edits, reuse_prefix: true, ..Request::default() };
        for _ in 0..2 {
            let going_on = |_| ControlFlow::Continue(());
            assert_eq!(block_on(llm.generate(&prompt, &request, going_on)).unwrap().0.reused, 0);
        }
    }
}

#[test]
fn what_a_function_does_wrong_is_told() {
    let tokens = tokens("llama")[..4].to_vec();
    let hook = Hook::MlpPost(1);
    for mut llm in both("llama") {
        let plain = block_on(llm.observe(&tokens, &[], &[3])).unwrap().logits;
        let mut refused = |edit: Edit, expected: &str| {
            let edits = vec![(hook, edit.clone())];
            let request = Request { edits: edits.clone(), ..Request::default() };
            let going_on = |_| ControlFlow::Continue(());
            let errors = [
                block_on(llm.observe(&tokens, &[(hook, Action::Edit(edit))], &[])).unwrap_err(),
                block_on(llm.generate(&tokens, &request, going_on)).unwrap_err(),
                block_on(llm.score_edited(&tokens, None, &edits)).unwrap_err(),
                block_on(llm.observe_last(&tokens, &edits, &[])).unwrap_err(),
            ];
            for error in errors {
                assert!(matches!(error, Error::Input(_)), "{error}");
                assert!(error.to_string().contains(expected), "{error}");
            }
        };
        refused(call(|_| Err(Error::Input("not today".to_owned()))), "not today");
        let not_a_number = call(|value| {
            value.values[1] = f32::NAN;
            Ok(())
        });
        refused(not_a_number, "the function at blocks.1.mlp.hook_post wrote NaN");
        // What failed leaves nothing behind.
        let after = block_on(llm.observe(&tokens, &[], &[3])).unwrap().logits;
        assert_eq!(bits(&after), bits(&plain));
    }
    let mut session = open("llama", SessionOptions::default());
    let actions = [(hook, Action::Edit(double()))];
    let error = session.observe_on_device(&rows(&tokens, 0), &actions).unwrap_err().to_string();
    assert!(error.contains("a function changes blocks.1.mlp.hook_post"), "{error}");
}
