// softmax: p_j = exp(x_j - m) / sum_i exp(x_i - m) over the keys that a row sees, m the largest x.
//
//   rows  (T)       token, position, sequence, step
//   x     (H T, S)  scores
//   out   (H T, S)  zero for keys that the row does not see, whatever their scores, and for those
//                   hidden by scores of -1e30: a row that sees no key is zero
//
// One workgroup per row and head. Grid: (T, H).
// parts: reduce
struct Params { rows: u32, keys: u32, stride: u32, window: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn softmax(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let end = min(rows[group.x].y + 1u, params.keys);
    let first = select(0u, end - min(end, params.window), params.window > 0u);
    let base = (group.y * params.rows + group.x) * params.stride;
    var largest = -1e30;
    for (var key = first + lane; key < end; key += WG) {
        largest = max(largest, x[base + key]);
    }
    largest = max_workgroup(largest, lane);
    var mass = 0.0;
    for (var key = first + lane; key < end; key += WG) {
        mass += exp(x[base + key] - largest);
    }
    mass = sum_workgroup(mass, lane);
    for (var key = lane; key < params.keys; key += WG) {
        var share = 0.0;
        if key >= first && key < end {
            let hidden = x[base + key] <= -1e30;
            share = select(exp(x[base + key] - largest) / mass, 0.0, hidden);
        }
        out[base + key] = share;
    }
}
