// bias_backward: db = db + sum over the rows of dy, of y = .. + b.
//
//   dy        (T, N)
//   gradient  (N)     its padding stays 0
//
// WG_T invocations share the rows of four columns, and one of them adds up their sums.
// Grid: (N / 4 / WG_N).
// parts: column_sum
struct Params { rows: u32, stride: u32, columns: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(WG_N, WG_T)
fn bias_backward(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let four = min(id.x, (params.columns - 1u) / 4u);
    var sum = vec4(0.0);
    for (var t = id.y; t < params.rows; t += WG_T) {
        sum += dy[t * params.stride + four];
    }
    add_columns(id.x, sum, lane);
}
