// gain_backward: dgain = dgain + sum over the rows of dy (x - mean) scale, of y = n gain + bias,
// n = (x - mean) scale. bias_backward does the bias.
//
//   x, dy     (T, C)
//   stats     (T, 2)  mean and scale of each row, as norm_backward writes them
//   gradient  (C)     its padding stays 0
//
// WG_T invocations share the rows of four columns, and one of them adds up their sums.
// Grid: (C / 4 / WG_N).
// parts: column_sum
struct Params { rows: u32, stride: u32, columns: u32, stats_stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(WG_N, WG_T)
fn gain_backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let four = min(id.x, (params.columns - 1u) / 4u);
    var sum = vec4(0.0);
    for (var t = id.y; t < params.rows; t += WG_T) {
        let at = t * params.stride + four;
        let row = t * params.stats_stride;
        sum += dy[at] * ((x[at] - stats[row]) * stats[row + 1u]);
    }
    add_columns(id.x, sum, lane);
}
