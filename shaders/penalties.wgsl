// penalties: make tokens of prompt and output less likely. Repetition: Keskar et al. 2019.
//
//   seen tokens: (l / repetition if l > 0, else l repetition) - presence - count frequency
//
//   logits  (N, V)
//   counts  (N V)    occurrences of each id; rows are not padded
//   out     (N, V)
//
// One invocation makes four logits. Grid: (V / 4 / 64, N).
struct Params {
    columns: u32,
    stride: u32,
    repetition: f32,
    presence: f32,
    frequency: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn penalties(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = group.x * 64u + lane;
    if i >= params.stride {
        return;
    }
    let four = logits[group.y * params.stride + i];
    var count = vec4(0u);
    for (var j = 0u; j < 4u; j++) {
        if i * 4u + j < params.columns {
            count[j] = counts[group.y * params.columns + i * 4u + j];
        }
    }
    let scaled = select(four * params.repetition, four / params.repetition, four > vec4(0.0));
    let lowered = scaled - params.presence - params.frequency * vec4<f32>(count);
    out[group.y * params.stride + i] = select(four, lowered, count > vec4(0u));
}
