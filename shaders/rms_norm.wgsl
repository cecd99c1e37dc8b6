// rms_norm: y = x / sqrt(mean(x^2) + eps) * gain.  Zhang and Sennrich 2019.
//
//   x     (T, C)
//   gain  (C)      unused if GAIN is false: then y is the value before the gain
//   out   (T, C)
//
// One workgroup per row. Grid: (T).
// parts: reduce
struct Params { columns: u32, stride: u32, eps: f32 }

override GAIN: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// Four values; zeros for the padding of the row's last vec4, whatever is left there.
fn inside(column: u32, four: vec4<f32>) -> vec4<f32> {
    let columns = vec4(column * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(0.0), four, columns < vec4(params.columns));
}

@compute @workgroup_size(WG)
fn rms_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = (group.x + group.y * 65535u) * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    var squares = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        let value = inside(i, x[base + i]);
        squares += dot(value, value);
    }
    let scale = 1.0 / sqrt(sum_workgroup(squares, lane) / f32(params.columns) + params.eps);
    for (var i = lane; i < vec4s; i += WG) {
        var value = x[base + i] * scale;
        if GAIN {
            value *= gain[i];
        }
        out[base + i] = inside(i, value);
    }
}
