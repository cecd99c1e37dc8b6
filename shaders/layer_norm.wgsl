// layer_norm: y = (x - mean) / sqrt(var + eps) * gain + bias, var biased.  Ba et al. 2016.
//
//   x     (T, C)
//   gain  (C)      unused if GAIN is false: then y is the value before gain and bias
//   bias  (C)
//   out   (T, C)
//
// One workgroup per row; the variance is a second pass, since one pass would cancel. Grid: (T).
// parts: reduce
struct Params { columns: u32, stride: u32, eps: f32 }

override GAIN: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

// Four values; zeros for the padding of the row's last vec4, whatever is left there.
fn inside(column: u32, four: vec4<f32>) -> vec4<f32> {
    let columns = vec4(column * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(0.0), four, columns < vec4(params.columns));
}

@compute @workgroup_size(WG)
fn layer_norm(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = (group.x + group.y * 65535u) * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    // The mean is that of differences from the first value, so that it is exact where all values
    // are equal: the scale is large there, and would magnify a rounding error.
    let origin = x[base].x;
    var sum = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        sum += dot(inside(i, x[base + i] - origin), vec4(1.0));
    }
    let mean = origin + sum_workgroup(sum, lane) / f32(params.columns);
    var squares = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        let centered = inside(i, x[base + i] - mean);
        squares += dot(centered, centered);
    }
    let variance = sum_workgroup(squares, lane) / f32(params.columns);
    let scale = 1.0 / sqrt(variance + params.eps);
    for (var i = lane; i < vec4s; i += WG) {
        var value = (x[base + i] - mean) * scale;
        if GAIN {
            value = value * gain[i] + bias[i];
        }
        out[base + i] = inside(i, value);
    }
}
