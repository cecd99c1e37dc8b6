// rms_scale: s = sqrt(mean(x^2) + eps), row by row: the divisor of both norms on its own.
//
//   x    (T, C)  centered, for a layer norm
//   out  (T, 1)
//
// One workgroup per row. Grid: (T).
// parts: reduce
struct Params { columns: u32, stride: u32, out_stride: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn rms_scale(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let base = group.x * params.stride;
    var squares = 0.0;
    for (var i = lane; i < params.columns; i += WG) {
        squares += x[base + i] * x[base + i];
    }
    let mean = sum_workgroup(squares, lane) / f32(params.columns);
    if lane == 0u {
        out[group.x * params.out_stride] = sqrt(mean + params.eps);
    }
}
