//! Ops of a caller's own at named values: the device against their twins, and what is refused.

use std::thread;

use pellucid::Error;
use pellucid::generate::Llm;
use pellucid::gpu::Kernel;
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{Action, Change, Edit, OwnOp};
use pellucid::ops::Each;
use pollster::block_on;

use super::own::{bits, both, generate, logprobs, tokens};

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
static CENTER: Kernel = Kernel { name: "center", op: None, source: CENTER_SOURCE, needs: &[] };

const CENTER_SOURCE: &str = "
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> operand: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WG)
fn center(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
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

fn center() -> OwnOp {
    OwnOp::new(&CENTER, Each::Head).twin(|x, _| {
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
        let heads = Edit { heads: Some(1..2), positions: Some(1..40), ..own(center()) };
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

/// What one engine is refused is nothing to others on the same device.
#[test]
fn an_op_that_cannot_run_is_no_fault_of_the_device() {
    let tokens = tokens("llama")[..4].to_vec();
    let [mut device, _] = both("llama");
    let gpu = device.session().unwrap().engine().gpu().clone();
    thread::scope(|scope| {
        let refused = scope.spawn(move || {
            for number in 0..30 {
                let source = format!("fn broken() {{ nonsense{number} }}").leak();
                let kernel = Kernel { name: "broken", op: None, source, needs: &[] };
                let edit = own(OwnOp::new(Box::leak(Box::new(kernel)), Each::Value));
                let actions = [(Hook::MlpPost(1), Action::Edit(edit))];
                let error = block_on(device.observe(&tokens, &actions, &[3])).unwrap_err();
                assert!(matches!(error, Error::Input(_)), "{error}");
            }
        });
        while !refused.is_finished() {
            gpu.check().unwrap();
        }
        refused.join().unwrap();
    });
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
