//! An op of your own inside the model, in WGSL: a soft threshold on the MLP's neurons, which lets only
//! the strong ones through. `cargo run --release --example own_op`.
//!
//! The twin in plain Rust is what the reference runs, and what shows that the kernel is right.

use pellucid::checkpoint::Checkpoint;
use pellucid::generate::{Backend, Llm, Options};
use pellucid::gpu::Kernel;
use pellucid::hook::Hook;
use pellucid::measure::furthest;
use pellucid::model::{Action, Change, Edit, Observed, OwnOp};
use pellucid::ops::Each;
use pellucid::tokenizer::Encode;
use pellucid::{Error, Result};

/// x = sign(x) max(|x| − least, 0): `Params`, `changes` and `head_at` come with the part `region`.
static SOFT_THRESHOLD: Kernel = Kernel {
    name: "soft_threshold",
    op: None,
    source: "
override LEAST: f32 = 0.0;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> operand: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn soft_threshold(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / params.columns;
    let column = id.x % params.columns;
    let row = rows[(params.row + id.y) % params.rows];
    if head >= params.heads || !changes(row) {
        return;
    }
    let at = head_at(id.y, head) + column * params.step;
    x[at] = sign(x[at]) * max(abs(x[at]) - LEAST, 0.0);
}
",
    needs: &[],
};

fn soft_threshold(least: f64) -> OwnOp {
    OwnOp::new(&SOFT_THRESHOLD, Each::Value).constant("LEAST", least).twin(move |x, _| {
        for x in x {
            *x = x.signum() * (x.abs() - least).max(0.0);
        }
    })
}

fn main() -> Result<()> {
    pellucid::block_on(run())
}

async fn run() -> Result<()> {
    let reference = Options { backend: Backend::Cpu, ..Options::default() };
    let mut device = Llm::open(Checkpoint::built_in()?, &Options::default(), |_| {}).await?;
    let mut reference = Llm::open(Checkpoint::built_in()?, &reference, |_| {}).await?;
    let tokens = device.encode("But soft, what light through yonder window", Encode::default())?;
    for least in [0.0, 0.1, 0.5] {
        let seen = observe(&mut device, &tokens, least).await?;
        let expected = observe(&mut reference, &tokens, least).await?;
        let neurons = &seen.activations[0].values;
        let silent = neurons.iter().filter(|x| **x == 0.0).count();
        let best = seen.logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let word = best.map(|(id, _)| id as u32).and_then(|id| device.tokenizer()?.token(id));
        println!(
            "least {least}: {:.1} % of the neurons are silent; next comes {word:?}; the twin differs \
             by {:.1e}",
            100.0 * silent as f64 / neurons.len() as f64,
            furthest(&seen.logits, &expected.logits)
        );
        if furthest(&seen.logits, &expected.logits) > 1e-3 {
            return Err(Error::Device("the kernel is not its twin".to_owned()));
        }
    }
    Ok(())
}

/// The neurons of a layer after the op, and the logits after the last token.
async fn observe(llm: &mut Llm, tokens: &[u32], least: f64) -> Result<Observed> {
    let edit = Edit::all(Change::Own(soft_threshold(least)));
    let actions = [(Hook::MlpPost(1), Action::Edit(edit)), (Hook::MlpPost(1), Action::Read)];
    llm.observe(tokens, &actions, &[tokens.len() - 1]).await
}
