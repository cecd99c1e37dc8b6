//! What the forward page records for small models, printed: the schedule as a document.

use expect_test::{Expect, expect};
use pellucid::config::{Biases, Config, Mlp, Nonlinearity, Norm, Position, Rope, RopeScaling};
use pellucid::format::Format;
use pellucid::gpu::{BufferId, Caps, Dispatch, Recording};
use pellucid::hook::{Hook, Point};
use pellucid::model::{Model, Rows, Tape, copied, forward, hooks, logits};
use pellucid::ops::{Cache, CacheFormat, Weight};
use pellucid::select::KernelSelection;

const MAX_BINDING: u64 = 128 << 20;

fn gpt2(layers: usize) -> Model {
    let biases = Biases { qkv: true, out: true, mlp: true, head: false };
    let config = Config {
        architecture: "gpt2".to_owned(),
        vocab: 50_257,
        layers,
        width: 768,
        heads: 12,
        kv_heads: 12,
        head_width: 64,
        context: 1024,
        norm: Norm::LayerNorm,
        norm_eps: 1e-5,
        position: Position::Learned,
        mlp: Mlp::Plain { hidden: 3072, function: Nonlinearity::GeluTanh },
        biases,
        tied_head: true,
        ..Config::default()
    };
    Model::dry(&config, Format::F32, MAX_BINDING).unwrap()
}

fn llama(layers: usize) -> Model {
    let rope = Rope { base: 1e4, rotated: 64, scaling: RopeScaling::None };
    let config = Config {
        architecture: "llama".to_owned(),
        vocab: 49_152,
        width: 576,
        heads: 9,
        kv_heads: 3,
        norm: Norm::RmsNorm,
        position: Position::Rope(rope),
        mlp: Mlp::Gated { hidden: 1536, function: Nonlinearity::Silu },
        biases: Biases::default(),
        ..gpt2(layers).config
    };
    let embed = Weight::named("embed", Format::Q8_0, config.vocab, config.width, MAX_BINDING);
    Model { embed, ..Model::dry(&config, Format::Q4_1, MAX_BINDING).unwrap() }
}

/// The Llama, with a change.
fn with(layers: usize, change: fn(&mut Config)) -> Model {
    let mut config = llama(layers).config;
    change(&mut config);
    Model::dry(&config, Format::Q4_1, MAX_BINDING).unwrap()
}

/// So many rows, in a buffer that exists only by name.
fn named(count: usize) -> Rows {
    Rows { buffer: BufferId::fresh(), count }
}

/// A whole pass over some rows: forward, and the logits of the last row.
fn record(model: &Model, rows: usize, hooks: &[Hook]) -> Recording {
    let selection = KernelSelection::defaults(&Caps::default());
    let mut tape = Tape::with_hooks(&selection, hooks);
    let caches = caches(model);
    let x = forward(&mut tape, model, &caches, named(rows)).unwrap();
    let out = tape.tensor(1, model.config.vocab);
    let index = (rows > 1).then(BufferId::fresh);
    logits(&mut tape, model, x, index, out).unwrap();
    tape.finish().0
}

fn caches(model: &Model) -> Vec<Cache> {
    let Config { context, kv_heads, head_width, .. } = model.config;
    let cache =
        || Cache::named(CacheFormat::F32, [1, context], [kv_heads, head_width], MAX_BINDING);
    (0..model.config.layers).map(|_| cache()).collect()
}

fn check(model: &Model, rows: usize, expected: &Expect) {
    let recording = record(model, rows, &[]);
    let count = recording.dispatches().len();
    let (weights, transient) = (recording.weight_bytes(), recording.transient_bytes());
    expected.assert_eq(&format!(
        "{recording}{count} dispatches, {weights} B of weights, {transient} B of activations\n"
    ));
}

#[test]
fn gpt2_decode() {
    check(
        &gpt2(2),
        1,
        &expect![[r#"
            3x1x1           1536 B  embed+weight_f32 LEARNED=1
            3x1x1           1536 B  embed+weight_f32 LEARNED=1
            1x1x1           6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            288x1x1      7087104 B  matvec+lanes_workgroup+weight_f32+activation+store_cache+cache_f32 WG=64 LANES=32 COLS=1 QUERY_VEC4S=192 KEY_VEC4S=192 HEAD_VEC4S=16 CONTEXT=1024 BIAS=1
            12x1x(n/64)         0 B  attention_split+reduce_workgroup+chunk+attention_params+softcap+cached_f32 WG=64 SLICES=4 GROUPS=4 CHUNK=64 SHARE=1 VEC4S=16
            3x1x1              0 B  attention_merge CHUNK=64 VEC4S=16
            96x1x1       2362368 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=1
            1x1x1           6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            384x1x1      9449472 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=1 BIAS=1
            96x1x1       9440256 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=1
            1x1x1           6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            288x1x1      7087104 B  matvec+lanes_workgroup+weight_f32+activation+store_cache+cache_f32 WG=64 LANES=32 COLS=1 QUERY_VEC4S=192 KEY_VEC4S=192 HEAD_VEC4S=16 CONTEXT=1024 BIAS=1
            12x1x(n/64)         0 B  attention_split+reduce_workgroup+chunk+attention_params+softcap+cached_f32 WG=64 SLICES=4 GROUPS=4 CHUNK=64 SHARE=1 VEC4S=16
            3x1x1              0 B  attention_merge CHUNK=64 VEC4S=16
            96x1x1       2362368 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=1
            1x1x1           6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            384x1x1      9449472 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=1 BIAS=1
            96x1x1       9440256 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=1
            1x1x1           6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            5461x1x1   134209536 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            822x1x1     20179968 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            21 dispatches, 211101696 B of weights, 259424 B of activations
        "#]],
    );
}

#[test]
fn gpt2_prefill() {
    check(
        &gpt2(2),
        16,
        &expect![[r#"
            3x16x1         24576 B  embed+weight_f32 LEARNED=1
            3x16x1         24576 B  embed+weight_f32 LEARNED=1
            16x1x1          6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            36x1x1       7087104 B  matmul_tiled+tile_f32+weight_f32+activation+store_cache+cache_f32 TILE=2 QUERY_VEC4S=192 KEY_VEC4S=192 HEAD_VEC4S=16 CONTEXT=1024 BIAS=1
            1x12x1             0 B  attention_tiled+attention_params+softcap+cached_f32 VEC4S=16
            12x1x1       2362368 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=1
            16x1x1          6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            48x1x1       9449472 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=0 ACTIVATION=1 BIAS=1
            12x1x1       9440256 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=1
            16x1x1          6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            36x1x1       7087104 B  matmul_tiled+tile_f32+weight_f32+activation+store_cache+cache_f32 TILE=2 QUERY_VEC4S=192 KEY_VEC4S=192 HEAD_VEC4S=16 CONTEXT=1024 BIAS=1
            1x12x1             0 B  attention_tiled+attention_params+softcap+cached_f32 VEC4S=16
            12x1x1       2362368 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=1
            16x1x1          6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            48x1x1       9449472 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=0 ACTIVATION=1 BIAS=1
            12x1x1       9440256 B  matmul_tiled+tile_f32+weight_f32+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=1
            16x1x1          6144 B  layer_norm+reduce_workgroup WG=256 GAIN=1
            12x1x1             0 B  gather INDEXED=1
            5461x1x1   134209536 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            822x1x1     20179968 B  matvec+lanes_workgroup+weight_f32+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            20 dispatches, 211147776 B of weights, 299360 B of activations
        "#]],
    );
}

#[test]
fn llama_decode() {
    check(
        &llama(2),
        1,
        &expect![[r#"
            1x1x1            612 B  embed+weight_q8_0 LEARNED=0
            1x1x1           2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            30x1x1        345600 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=8 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            4x1x1              0 B  rope+cache_f32
            3x1x(n/64)         0 B  attention_split+reduce_workgroup+chunk+attention_params+softcap+cached_f32 WG=64 SLICES=4 GROUPS=4 CHUNK=64 SHARE=3 VEC4S=16
            3x1x1              0 B  attention_merge CHUNK=64 VEC4S=16
            18x1x1        207360 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=8 COLS=1 ADD=1 ACTIVATION=0 BIAS=0
            1x1x1           2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            96x1x1       1105920 B  matvec+lanes_workgroup+weight_q4_1+activation+store_gated WG=64 LANES=8 COLS=1 ACTIVATION=3 BIAS=0
            72x1x1        552960 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=0
            1x1x1           2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            30x1x1        345600 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=8 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            4x1x1              0 B  rope+cache_f32
            3x1x(n/64)         0 B  attention_split+reduce_workgroup+chunk+attention_params+softcap+cached_f32 WG=64 SLICES=4 GROUPS=4 CHUNK=64 SHARE=3 VEC4S=16
            3x1x1              0 B  attention_merge CHUNK=64 VEC4S=16
            18x1x1        207360 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=8 COLS=1 ADD=1 ACTIVATION=0 BIAS=0
            1x1x1           2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            96x1x1       1105920 B  matvec+lanes_workgroup+weight_q4_1+activation+store_gated WG=64 LANES=8 COLS=1 ACTIVATION=3 BIAS=0
            72x1x1        552960 B  matvec+lanes_workgroup+weight_q4_1+activation+store_plain+softcap+kept_none WG=64 LANES=32 COLS=1 ADD=1 ACTIVATION=0 BIAS=0
            1x1x1           2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            3072x1x1    30081024 B  matvec+lanes_workgroup+weight_q8_0+activation+store_plain+softcap+kept_none WG=64 LANES=16 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            21 dispatches, 34516836 B of weights, 201216 B of activations
        "#]],
    );
}

#[test]
fn llama_prefill() {
    check(
        &llama(2),
        16,
        &expect![[r#"
            1x16x1          9792 B  embed+weight_q8_0 LEARNED=0
            16x1x1          2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            15x1x1        345600 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=0 ACTIVATION=0 BIAS=0
            4x16x1             0 B  rope+cache_f32
            1x9x1              0 B  attention_tiled+attention_params+softcap+cached_f32 VEC4S=16
            9x1x1         207360 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=0
            16x1x1          2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            48x1x1       1105920 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_gated TILE=2 ACTIVATION=3 BIAS=0
            9x1x1         552960 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=0
            16x1x1          2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            15x1x1        345600 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=0 ACTIVATION=0 BIAS=0
            4x16x1             0 B  rope+cache_f32
            1x9x1              0 B  attention_tiled+attention_params+softcap+cached_f32 VEC4S=16
            9x1x1         207360 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=0
            16x1x1          2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            48x1x1       1105920 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_gated TILE=2 ACTIVATION=3 BIAS=0
            9x1x1         552960 B  matmul_tiled+tile_f32+weight_q4_1+activation+store_plain+softcap+kept_none TILE=2 ADD=1 ACTIVATION=0 BIAS=0
            16x1x1          2304 B  rms_norm+reduce_workgroup WG=256 GAIN=1
            9x1x1              0 B  gather INDEXED=1
            3072x1x1    30081024 B  matvec+lanes_workgroup+weight_q8_0+activation+store_plain+softcap+kept_none WG=64 LANES=16 COLS=1 ADD=0 ACTIVATION=0 BIAS=0
            20 dispatches, 34526016 B of weights, 270336 B of activations
        "#]],
    );
}

#[test]
fn dispatches_of_a_layer_in_decode() {
    let of_a_layer = |model: fn(usize) -> Model| {
        let count = |layers| record(&model(layers), 1, &[]).dispatches().len();
        count(3) - count(2)
    };
    assert!(of_a_layer(gpt2) <= 8, "GPT-2: {}", of_a_layer(gpt2));
    assert!(of_a_layer(llama) <= 9, "Llama: {}", of_a_layer(llama));
    // A norm after each sub-layer comes between its last projection and the stream: two dispatches
    // each.
    let gemma = |layers| with(layers, |config| config.post_norms = true);
    assert!(of_a_layer(gemma) <= 13, "Gemma 2: {}", of_a_layer(gemma));
    let side_by_side = |layers| with(layers, |config| config.parallel = true);
    assert!(of_a_layer(side_by_side) <= 9, "GPT-NeoX: {}", of_a_layer(side_by_side));
}

/// The dispatches, all but the names of buffers that outlive the recording.
fn steps(recording: &Recording) -> Vec<String> {
    let line = |dispatch: &Dispatch| {
        format!("{} {:?}", dispatch.program.label(), (&dispatch.params, &dispatch.groups))
    };
    recording.dispatches().iter().map(line).collect()
}

#[test]
fn a_hook_adds_a_copy_at_most_and_nothing_else() {
    let selection = KernelSelection::defaults(&Caps::default());
    for model in [gpt2(2), llama(2)] {
        let (caches, rows) = (caches(&model), named(4));
        let run = |hooks: &[Hook]| {
            let mut tape = Tape::with_hooks(&selection, hooks);
            forward(&mut tape, &model, &caches, rows).unwrap();
            tape.finish()
        };
        let plain = steps(&run(&[]).0);
        assert_eq!(plain, steps(&run(&[]).0), "no hooks: the same recording");
        let rotary = matches!(model.config.position, Position::Rope(_));
        let read = [
            Hook::ResidPre(1),
            Hook::Q(0),
            Hook::K(1),
            Hook::V(0),
            Hook::Z(1),
            Hook::ResidMid(0),
            Hook::MlpPost(1),
            Hook::ResidPost(0),
        ];
        for hook in read.into_iter().chain(rotary.then_some(Hook::RotQ(1))) {
            let (recording, marks) = run(&[hook]);
            assert_eq!(marks.reads.iter().map(|(hook, _)| *hook).collect::<Vec<_>>(), [hook]);
            let is_copy = |dispatch: &&Dispatch| dispatch.program.kernel.name == "gather";
            let copies = recording.dispatches().iter().filter(is_copy).count();
            let mut hooked = steps(&recording);
            hooked.retain(|step| !step.starts_with("gather"));
            // Without rotation, queries, keys and values go straight into the cache, unless a hook
            // asks for them: then one more dispatch writes them there.
            let whole = matches!(hook, Hook::Q(_) | Hook::K(_) | Hook::V(_)) && !rotary;
            // They share their rows: the columns of each are copied out.
            let joined = matches!(hook, Hook::Q(_) | Hook::K(_) | Hook::V(_));
            let grown = hooked.len() - plain.len();
            let expected = (usize::from(joined), usize::from(whole));
            assert_eq!((copies, grown), expected, "{hook} adds a copy at most");
        }
        let all: Vec<Hook> = read.to_vec();
        let (recording, marks) = run(&all);
        assert_eq!(marks.reads.len(), all.len());
        let whole = if rotary { 0 } else { 2 };
        // Queries, keys, values; and the input of a layer, which has the output of the one before it
        // as its other name.
        assert_eq!(recording.dispatches().len(), plain.len() + 4 + whole);
    }
}

/// Whatever values are kept of all layers at once, if no kernel hides them.
#[test]
fn what_is_kept_of_all_layers_costs_one_more_dispatch_at_most() {
    let others: [fn(&mut Config); 3] = [
        |config| config.post_norms = true,
        |config| config.parallel = true,
        |config| config.mlp = Mlp::None,
    ];
    let others = others.map(|change| with(3, change));
    for model in others.into_iter().chain([gpt2(3), llama(3)]) {
        let plain = record(&model, 1, &[]).dispatches().len();
        let of_all = |point: Point| -> Vec<Hook> {
            let all = hooks(&model.config).into_iter();
            all.filter(|hook| hook.point() == point && copied(*hook)).collect()
        };
        let count = |point| record(&model, 1, &of_all(point)).dispatches().len() - plain;
        // Only the first layer's input is copied: nothing before it adds to the stream.
        assert_eq!(count(Point::ResidPre), 1);
        for point in Point::all().filter(|point| *point != Point::ResidPre) {
            let joined = matches!(point, Point::Q | Point::K | Point::V);
            let found = count(point);
            assert!(joined || found == 0, "{point:?}: {found} dispatches more");
        }
    }
}
