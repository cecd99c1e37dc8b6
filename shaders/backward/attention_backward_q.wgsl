// attention_backward_q: gradient of the queries of z = A v, A = softmax(s),
// s = softcap(scale q k^T):
//   ds = A (dz v^T - dz . z) softcap';  dq = scale ds k.
// A is recomputed from q and k (Dao et al. 2022, algorithm 4), so that no (T, T) array is stored.
//
//   q, z, dz  (T, H D)   row t is position t % L of sequence t / L
//   cache     keys and values
//   dq        (T, H D)
//   stats     (T, 2 H)   ln sum exp of the scores of each head, then dz . z of each head
//
// One invocation per row and head walks the keys that the row sees, twice, four at a time.
// Neighbors read the same keys. Grid: (T / WG, H).
// parts: softcap, cached, heads, head_array
struct Params {
    rows: u32,
    length: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    stride: u32,
    stats_stride: u32,
    context: u32,
    window: u32,
    scale: f32,
    out_stride: u32,
}

override WG: u32 = 32u;
// ceil(D / 4): how many vec4s a head has.
override VEC4S: u32 = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> stats: array<f32>;
@group(0) @binding(3) var<storage, read_write> dq: array<f32>;

@compute @workgroup_size(WG)
fn attention_backward_q(@builtin(global_invocation_id) id: vec3<u32>) {
    let t = id.x;
    let head = id.y;
    if t >= params.rows {
        return;
    }
    let base = t * params.stride + head * params.width;
    var query = no_head();
    var back = no_head();
    var sum = no_head();
    var through = 0.0;
    for (var i = 0u; i < VEC4S; i++) {
        query[i] = read_q(t, head, i) * params.scale;
        back[i] = read_dz(t, head, i);
        for (var j = 0u; j < min(4u, params.width - i * 4u); j++) {
            through += back[i][j] * z[base + i * 4u + j];
        }
    }
    let end = t % params.length + 1u;
    let first = select(0u, end - min(end, params.window), params.window > 0u);
    let kv_head = head * params.kv_heads / params.heads;
    let start = (t / params.length * params.kv_heads + kv_head) * params.context;
    var largest = -1e30;
    var mass = 0.0;
    for (var key = first; key < end; key += 4u) {
        let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
        let at = (start + min(keys, vec4(end - 1u))) * VEC4S;
        var scores = vec4(0.0);
        for (var i = 0u; i < VEC4S; i++) {
            let four = at + i;
            scores +=
                query[i] * mat4x4(read_k(four.x), read_k(four.y), read_k(four.z), read_k(four.w));
        }
        scores = select(vec4(-1e30), softcap4(scores), keys < vec4(end));
        let above = max(largest, max(max(scores.x, scores.y), max(scores.z, scores.w)));
        mass = mass * exp(largest - above) + dot(exp(scores - above), vec4(1.0));
        largest = above;
    }
    let total = largest + log(mass);
    for (var key = first; key < end; key += 4u) {
        let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
        let at = (start + min(keys, vec4(end - 1u))) * VEC4S;
        var scores = vec4(0.0);
        var shares = vec4(0.0);
        for (var i = 0u; i < VEC4S; i++) {
            let four = at + i;
            scores +=
                query[i] * mat4x4(read_k(four.x), read_k(four.y), read_k(four.z), read_k(four.w));
            shares +=
                back[i] * mat4x4(read_v(four.x), read_v(four.y), read_v(four.z), read_v(four.w));
        }
        scores = softcap4(scores);
        let pattern = select(vec4(0.0), exp(scores - total), keys < vec4(end));
        let ds = pattern * (shares - through) * softcap_slope4(scores) * params.scale;
        for (var i = 0u; i < VEC4S; i++) {
            let four = at + i;
            sum[i] += mat4x4(read_k(four.x), read_k(four.y), read_k(four.z), read_k(four.w)) * ds;
        }
    }
    for (var i = 0u; i < VEC4S; i++) {
        for (var j = 0u; j < min(4u, params.width - i * 4u); j++) {
            dq[t * params.out_stride + head * params.width + i * 4u + j] = sum[i][j];
        }
    }
    stats[t * params.stats_stride + head] = total;
    stats[t * params.stats_stride + params.heads + head] = through;
}
