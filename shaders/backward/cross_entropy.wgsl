// cross_entropy: the loss -log p of each row's target, and, in place of the logits, their gradient
// (softmax - onehot) / M over the M targets of the step.
//
//   logits   (R, V)  in; their gradient out
//   targets  (T)     row r is target FIRST + r; an id outside the vocabulary is ignored
//   losses   (T)     0 where the target is ignored
//   share    1 / M
//
// One workgroup per row. Grid: (R).
// parts: reduce
struct Params { columns: u32, stride: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read> share: array<f32>;

// The padding of a row's last vec4 counts as minus infinity.
fn four(base: u32, i: u32) -> vec4<f32> {
    let column = vec4(i * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(-1e30), logits[base + i], column < vec4(params.columns));
}

@compute @workgroup_size(WG)
fn cross_entropy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * 65535u;
    let base = row * params.stride;
    let vec4s = (params.columns + 3u) / 4u;
    let goal = targets[params.first + row];
    let counts = goal < params.columns;
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
    if lane == goal / 4u % WG {
        // The invocation that writes this vec4 below reads it here.
        var loss = 0.0;
        if counts {
            loss = m + log(mass) - logits[base + goal / 4u][goal % 4u];
        }
        losses[params.first + row] = loss;
    }
    let scale = select(0.0, share[0], counts);
    for (var i = lane; i < vec4s; i += WG) {
        let columns = vec4(i * 4u) + vec4(0u, 1u, 2u, 3u);
        let p = exp(four(base, i) - m) / mass;
        logits[base + i] = scale * (p - select(vec4(0.0), vec4(1.0), columns == vec4(goal)));
    }
}
