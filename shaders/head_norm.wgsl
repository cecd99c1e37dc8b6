// head_norm: rms_norm of each query head and each key head, in place, before the rotation.
//
//   x      (T, ..)   heads of width D from column `start` on
//   gains  (2, D)    for the first `queries` heads, and for the others
//
// One invocation per row and head. Grid: (heads / 64, T).
struct Params {
    heads: u32,
    queries: u32,
    width: u32,
    start: u32,
    stride: u32,
    gain_stride: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gains: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn head_norm(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.heads {
        return;
    }
    let at = id.y * params.stride + params.start + id.x * params.width;
    let gain = select(0u, params.gain_stride, id.x >= params.queries);
    var squares = 0.0;
    for (var e = 0u; e < params.width; e++) {
        squares += x[at + e] * x[at + e];
    }
    let scale = 1.0 / sqrt(squares / f32(params.width) + params.eps);
    for (var e = 0u; e < params.width; e++) {
        x[at + e] *= scale * gains[gain + e];
    }
}
