//! Functions and ops of a caller's own at named values: against edits that do the same, and the device
//! against the reference.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use pellucid::generate::{Backend, Generation, Llm, Options, Request};
use pellucid::gpu::{AdapterChoice, Kernel};
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{
    Action, Change, Edit, HookFn, HookValue, OwnOp, Place, Session, SessionOptions, copied, hooks,
};
use pellucid::ops::Each;
use pellucid::{Error, Result};
use pollster::block_on;

use super::{checkpoint, folder, golden, ids, rows, session};

fn open(name: &str, options: SessionOptions) -> Session {
    session(&checkpoint(&folder().join(name)), &AdapterChoice::default(), options)
}

fn llm(name: &str, backend: Backend, sequences: usize) -> Llm {
    let options = Options { backend, sequences, check: false, tuned: false, ..Options::default() };
    block_on(Llm::open(checkpoint(&folder().join(name)), &options, |_| {})).unwrap()
}

/// The model on the device, and on the reference.
fn both(name: &str) -> [Llm; 2] {
    [Backend::Gpu(AdapterChoice::default()), Backend::Cpu].map(|backend| llm(name, backend, 1))
}

fn tokens(name: &str) -> Vec<u32> {
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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn generate(llm: &mut Llm, prompt: &[u32], edits: Vec<(Hook, Edit)>) -> Generation {
    let request = Request {
        max_new_tokens: 5,
        ignore_eos: true,
        logprobs: Some(2),
        edits,
        ..Request::default()
    };
    block_on(llm.generate(prompt, &request, |_| ControlFlow::Continue(()))).unwrap().0
}

fn logprobs(generation: &Generation) -> Vec<f32> {
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
        let mut device = llm(name, Backend::Gpu(AdapterChoice::default()), 1);
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
struct Calls(Arc<Mutex<Vec<(Vec<usize>, Vec<Place>)>>>);

impl Calls {
    fn edit(&self) -> Edit {
        let calls = Arc::clone(&self.0);
        call(move |value| {
            assert_eq!(value.values.len(), value.shape.iter().product::<usize>());
            calls.lock().unwrap().push((value.shape.to_vec(), value.rows.to_vec()));
            Ok(())
        })
    }

    fn take(&self) -> Vec<(Vec<usize>, Vec<Place>)> {
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
    let mut device = llm(name, Backend::Gpu(AdapterChoice::default()), 2);
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

/// x, shrunk towards zero by the operand.
static SHRINK: Kernel = Kernel { name: "shrink", op: None, source: SHRINK_SOURCE, needs: &[] };

const SHRINK_SOURCE: &str = "
override LEAST: f32 = 0.0;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> operand: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn shrink(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / params.columns;
    let column = id.x % params.columns;
    let row = rows[(params.row + id.y) % params.rows];
    if head >= params.heads || !changes(row) {
        return;
    }
    let at = head_at(id.y, head) + column * params.step;
    let by = operand[operand_at(row, id.y, head) + column * params.operand_column];
    x[at] = sign(x[at]) * max(abs(x[at]) - by, LEAST);
}
";

/// Each head's numbers, less their mean.
static CENTRE: Kernel = Kernel { name: "centre", op: None, source: CENTRE_SOURCE, needs: &[] };

const CENTRE_SOURCE: &str = "
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> operand: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WG)
fn centre(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = rows[(params.row + group.y) % params.rows];
    let base = head_at(group.y, group.x);
    var sum = 0.0;
    for (var i = lane; i < params.columns; i += WG) {
        sum += x[base + i * params.step];
    }
    let mean = sum_workgroup(sum, lane) / f32(params.columns) + operand[0];
    if !changes(row) {
        return;
    }
    for (var i = lane; i < params.columns; i += WG) {
        x[base + i * params.step] -= mean;
    }
}
";

fn shrink(by: Vec<f32>) -> OwnOp {
    OwnOp::new(&SHRINK, Each::Value).constant("LEAST", 0.01).operand(by).twin(|x, by| {
        for (x, by) in x.iter_mut().zip(by) {
            // The sign of zero is zero, in WGSL too.
            let sign = if *x == 0.0 { 0.0 } else { x.signum() };
            *x = sign * (x.abs() - by).max(0.01);
        }
    })
}

fn centre() -> OwnOp {
    OwnOp::new(&CENTRE, Each::Head).twin(|x, _| {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        x.iter_mut().for_each(|x| *x -= mean);
    })
}

#[test]
fn an_op_of_ones_own_is_its_twin() {
    for name in ["gpt2", "gemma2", "qwen3"] {
        let prompt = tokens(name)[..6].to_vec();
        let [mut device, mut reference] = both(name);
        let config = device.config().clone();
        let ramp: Vec<f32> = (0..config.width).map(|i| (i % 7) as f32 / 10.0).collect();
        let heads = Edit { heads: Some(1..2), positions: Some(1..40), ..own(centre()) };
        let columns = Edit { columns: Some(3..9), ..own(shrink(vec![0.3])) };
        let edits = [
            (Hook::MlpPost(0), own(shrink(vec![0.05]))),
            (Hook::ResidPost(0), own(shrink(ramp))),
            (Hook::MlpPre(1), columns),
            (Hook::Z(0), heads),
            (Hook::Pattern(0), Edit { heads: Some(0..1), ..own(shrink(vec![0.1])) }),
        ];
        let plain = block_on(device.observe(&prompt, &[], &[5])).unwrap().logits;
        for (hook, edit) in &edits {
            let edit = Edit { positions: edit.positions.as_ref().map(|_| 1..4), ..edit.clone() };
            let actions = [(*hook, Action::Edit(edit)), (*hook, Action::Read)];
            let [found, expected] = [&mut device, &mut reference]
                .map(|llm| block_on(llm.observe(&prompt, &actions, &[5])).unwrap());
            let values = |seen: &pellucid::model::Observed| seen.activations[0].values.clone();
            let error = furthest(&values(&found), &values(&expected));
            assert!(error <= 1e-4, "{name} {hook}: {error:.1e}");
            let error = furthest(&found.logits, &expected.logits);
            assert!(error <= 1e-3, "{name} {hook}: {error:.1e}");
            assert!(furthest(&found.logits, &plain) > 1e-3, "{name} {hook}: it is seen");
        }
        // In the prompt and with every token that is drawn.
        let [found, expected] =
            [&mut device, &mut reference].map(|llm| generate(llm, &prompt, edits.to_vec()));
        assert_eq!(found.tokens, expected.tokens, "{name}");
        assert!(furthest(&logprobs(&found), &logprobs(&expected)) <= 1e-3, "{name}");
    }
}

fn own(op: OwnOp) -> Edit {
    Edit::all(Change::Own(op))
}

#[test]
fn an_op_that_cannot_run_is_refused_and_the_device_goes_on() {
    static BROKEN: Kernel =
        Kernel { name: "broken", op: None, source: "fn broken() { nonsense }", needs: &[] };
    // The name of one of the kernels here, and another text.
    static ADD: Kernel = Kernel { name: "shrink", op: None, source: ZERO_SOURCE, needs: &[] };
    const ZERO_SOURCE: &str = "
        @group(0) @binding(0) var<uniform> params: Params;
        @group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
        @group(0) @binding(2) var<storage, read> operand: array<f32>;
        @group(0) @binding(3) var<storage, read_write> x: array<f32>;

        @compute @workgroup_size(64)
        fn shrink(@builtin(global_invocation_id) id: vec3<u32>) {
            let row = rows[id.y];
            // Far beyond the end: the access is checked.
            x[0x3fffffffu] = operand[0x3fffffffu];
            if id.x < params.columns && changes(row) {
                x[head_at(id.y, 0u) + id.x * params.step] = 0.0;
            }
        }";
    let tokens = tokens("llama")[..4].to_vec();
    let [mut device, mut reference] = both("llama");
    let hook = Hook::MlpPost(1);
    let run = |llm: &mut Llm, edit: Edit| {
        block_on(llm.observe(&tokens, &[(hook, Action::Edit(edit))], &[3]))
    };
    let plain = block_on(device.observe(&tokens, &[], &[3])).unwrap().logits;
    for _ in 0..2 {
        let error = run(&mut device, own(OwnOp::new(&BROKEN, Each::Value))).unwrap_err();
        assert!(matches!(error, Error::Input(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("the kernel broken is not accepted"), "{text}");
    }
    let unfit = own(shrink(vec![1.0; 5]));
    let text = run(&mut device, unfit).unwrap_err().to_string();
    assert!(text.contains("blocks.1.mlp.hook_post has 5 values"), "{text}");
    let text = run(&mut reference, own(OwnOp::new(&SHRINK, Each::Value))).unwrap_err().to_string();
    assert!(text.contains("the op shrink at blocks.1.mlp.hook_post has no twin"), "{text}");
    // Another kernel of the same name is another kernel.
    let shrunk = run(&mut device, own(shrink(vec![0.1]))).unwrap().logits;
    let zeroed = run(&mut device, own(OwnOp::new(&ADD, Each::Value))).unwrap().logits;
    let expected = run(&mut device, Edit::all(Change::Zero)).unwrap().logits;
    assert_eq!(bits(&zeroed), bits(&expected));
    assert_ne!(bits(&shrunk), bits(&zeroed));
    let after = block_on(device.observe(&tokens, &[], &[3])).unwrap().logits;
    assert_eq!(bits(&after), bits(&plain));
}
