// attention_scores: softcap(scale q k^T), masked: the first step of attention on its own.
//
//   rows    (T)        token, position, sequence, step
//   q       (T, H D)   after rotation
//   cache   keys and values of every sequence, positions `first` .. of them
//   scores  (H T, S)   -1e30 where masked, since WGSL does not guarantee infinities
//
// One invocation per head, row and key. Grid: (keys / 64, T, H).
// parts: softcap, cached
struct Params {
    rows: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    q_stride: u32,
    out_stride: u32,
    context: u32,
    window: u32,
    first: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;

@compute @workgroup_size(64)
fn attention_scores(@builtin(global_invocation_id) id: vec3<u32>) {
    let key = params.first + id.x;
    let head = id.z;
    if id.x >= params.keys {
        return;
    }
    let row = rows[id.y];
    let end = row.y + 1u;
    let first = select(0u, end - min(end, params.window), params.window > 0u);
    var score = -1e30;
    if key >= first && key < end {
        let vec4s = (params.width + 3u) / 4u;
        let kv_head = head * params.kv_heads / params.heads;
        let at = ((row.z * params.kv_heads + kv_head) * params.context + id.x) * vec4s;
        let base = id.y * params.q_stride + head * params.width;
        score = 0.0;
        for (var e = 0u; e < params.width; e += 4u) {
            let four = read_k(at + e / 4u);
            for (var j = 0u; j < min(4u, params.width - e); j++) {
                score += q[base + e + j] * four[j];
            }
        }
        score = softcap4(vec4(score * params.scale)).x;
    }
    scores[(head * params.rows + id.y) * params.out_stride + key] = score;
}
