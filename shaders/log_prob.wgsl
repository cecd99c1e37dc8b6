// log_prob: log p = l_target - m - ln sum_v exp(l_v - m), m the largest logit; never log(p).
//
//   logits  (T, V)
//   target  (T)     a token id; one outside the vocabulary gives the row's -m - ln sum
//   out     (T)
//
// One workgroup per row. Grid: (T).
// parts: reduce
struct Params { columns: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// The padding of a row's last vec4 counts as minus infinity.
fn four(base: u32, i: u32) -> vec4<f32> {
    let column = vec4(i * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(-1e30), logits[base + i], column < vec4(params.columns));
}

@compute @workgroup_size(WG)
fn log_prob(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let base = group.x * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    var largest = vec4(-1e30);
    for (var i = lane; i < vec4s; i += WG) {
        largest = max(largest, four(base, i));
    }
    let m = max_workgroup(max(max(largest.x, largest.y), max(largest.z, largest.w)), lane);
    var sum = 0.0;
    for (var i = lane; i < vec4s; i += WG) {
        sum += dot(exp(four(base, i) - m), vec4(1.0));
    }
    let mass = sum_workgroup(sum, lane);
    if lane == 0u {
        let target_id = targets[group.x];
        var logit = 0.0;
        if target_id < params.columns {
            logit = logits[base + target_id / 4u][target_id % 4u];
        }
        out[group.x] = logit - m - log(mass);
    }
}
