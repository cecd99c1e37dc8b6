// attention_backward_kv: gradients of the keys and values of z = A v, A = softmax(s),
// s = softcap(scale q k^T):
//   dv = A^T dz;  ds = A (dz v^T - dz . z) softcap';  dk = scale ds^T q,
// over the rows that see a key, and the query heads that share it. Dao et al. 2022, algorithm 4.
//
//   q, dz   (T, H D)   row t is position t % L of sequence t / L
//   cache   keys and values
//   stats   (T, 2 H)   as attention_backward_q writes them
//   dk, dv  (T, K D)
//
// One invocation per key and key head walks the rows from its own to the end of its sequence, or of
// the window, four at a time. Neighbors read the same rows. Grid: (T / WG, K).
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
@group(0) @binding(1) var<storage, read> stats: array<f32>;
@group(0) @binding(2) var<storage, read_write> dk: array<f32>;
@group(0) @binding(3) var<storage, read_write> dv: array<f32>;

// One of each row's numbers.
fn stat(rows: vec4<u32>, column: u32) -> vec4<f32> {
    let at = rows * params.stats_stride + column;
    return vec4(stats[at.x], stats[at.y], stats[at.z], stats[at.w]);
}

@compute @workgroup_size(WG)
fn attention_backward_kv(@builtin(global_invocation_id) id: vec3<u32>) {
    let own = id.x;
    let kv_head = id.y;
    if own >= params.rows {
        return;
    }
    let place = own % params.length;
    let start = own - place;
    let head_start = (own / params.length * params.kv_heads + kv_head) * params.context;
    let at = (head_start + place) * VEC4S;
    var key = no_head();
    var value = no_head();
    var key_sum = no_head();
    var value_sum = no_head();
    for (var i = 0u; i < VEC4S; i++) {
        key[i] = read_k(at + i) * params.scale;
        value[i] = read_v(at + i);
    }
    let seen = select(params.length, place + params.window, params.window > 0u);
    let end = start + min(params.length, seen);
    let group = params.heads / params.kv_heads;
    for (var member = 0u; member < group; member++) {
        let head = kv_head * group + member;
        // The rows are those of the whole workgroup, so that neighbors read the same ones.
        for (var row = start + place / 4u * 4u; row < end; row += 4u) {
            let rows = vec4(row) + vec4(0u, 1u, 2u, 3u);
            let r = min(rows, vec4(end - 1u));
            var scores = vec4(0.0);
            var shares = vec4(0.0);
            for (var i = 0u; i < VEC4S; i++) {
                scores += key[i] * mat4x4(
                    read_q(r.x, head, i),
                    read_q(r.y, head, i),
                    read_q(r.z, head, i),
                    read_q(r.w, head, i),
                );
                shares += value[i] * mat4x4(
                    read_dz(r.x, head, i),
                    read_dz(r.y, head, i),
                    read_dz(r.z, head, i),
                    read_dz(r.w, head, i),
                );
            }
            scores = softcap4(scores);
            let sees = (rows >= vec4(own)) & (rows < vec4(end));
            let pattern = select(vec4(0.0), exp(min(scores - stat(r, head), vec4(0.0))), sees);
            let through = stat(r, params.heads + head);
            let ds = pattern * (shares - through) * softcap_slope4(scores) * params.scale;
            for (var i = 0u; i < VEC4S; i++) {
                value_sum[i] += mat4x4(
                    read_dz(r.x, head, i),
                    read_dz(r.y, head, i),
                    read_dz(r.z, head, i),
                    read_dz(r.w, head, i),
                ) * pattern;
                key_sum[i] += mat4x4(
                    read_q(r.x, head, i),
                    read_q(r.y, head, i),
                    read_q(r.z, head, i),
                    read_q(r.w, head, i),
                ) * ds;
            }
        }
    }
    let base = own * params.out_stride + kv_head * params.width;
    for (var i = 0u; i < VEC4S; i++) {
        for (var j = 0u; j < min(4u, params.width - i * 4u); j++) {
            dk[base + i * 4u + j] = key_sum[i][j];
            dv[base + i * 4u + j] = value_sum[i][j];
        }
    }
}
