// norm_backward: of y = n gain + bias, n = (x - m) / s, with g = dy gain,
//   dx = (g - mean(g) - n mean(g n)) / s
// where CENTERED is true: a layer norm, m = mean(x) and s = sqrt(var + eps). Otherwise an RMS norm:
// m = 0, s = sqrt(mean(x^2) + eps), and dx lacks the term mean(g).
//
//   x, dy  (T, C)
//   gain   (C)     unused if GAIN is false: then g is dy
//   dx     (T, C)  added to where ADD is true
//   stats  (T, 2)  m and 1 / s of each row
//
// One workgroup per row. Grid: (T).
// parts: reduce
struct Params { columns: u32, stride: u32, stats_stride: u32, eps: f32 }

// True for a layer norm, false for an RMS norm.
override CENTERED: bool = true;
override GAIN: bool = true;
override ADD: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;

// Four values; zeros for the padding of the row's last vec4, whatever is left there.
fn inside(column: u32, four: vec4<f32>) -> vec4<f32> {
    let columns = vec4(column * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(0.0), four, columns < vec4(params.columns));
}

// The gradient of n, zero in the padding.
fn back(base: u32, i: u32) -> vec4<f32> {
    var g = dy[base + i];
    if GAIN {
        g *= gain[i];
    }
    return inside(i, g);
}

@compute @workgroup_size(WG)
fn norm_backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * 65535u;
    let base = row * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    let count = f32(params.columns);
    var mean = 0.0;
    if CENTERED {
        // The mean is that of differences from the first value, so that it is exact where all
        // values are equal: the scale 1 / s is large there, and would magnify a rounding error.
        let origin = x[base].x;
        var sum = 0.0;
        for (var i = lane; i < vec4s; i += WG) {
            sum += dot(inside(i, x[base + i] - origin), vec4(1.0));
        }
        mean = origin + sum_workgroup(sum, lane) / count;
    }
    var squares = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        let value = inside(i, x[base + i] - mean);
        squares += dot(value, value);
    }
    let scale = 1.0 / sqrt(sum_workgroup(squares, lane) / count + params.eps);
    var g_sum = 0.0;
    var gn_sum = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        let g = back(base, i);
        g_sum += dot(g, vec4(1.0));
        gn_sum += dot(g, inside(i, x[base + i] - mean) * scale);
    }
    var g_mean = 0.0;
    if CENTERED {
        g_mean = sum_workgroup(g_sum, lane) / count;
    }
    let gn_mean = sum_workgroup(gn_sum, lane) / count;
    for (var i = lane; i < vec4s; i += WG) {
        let n = (x[base + i] - mean) * scale;
        let value = inside(i, (back(base, i) - g_mean - n * gn_mean) * scale);
        if ADD {
            dx[base + i] += value;
        } else {
            dx[base + i] = value;
        }
    }
    if lane == 0u {
        stats[row * params.stats_stride] = mean;
        stats[row * params.stats_stride + 1u] = scale;
    }
}
