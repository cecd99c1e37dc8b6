// attention: z = softmax(softcap(scale q k^T)) v over the keys a row may see, for many rows.
// Phuong and Hutter 2022, algorithm 4; the softmax runs online (Milakov and Gimelshein 2018).
//
//   rows   (T)          token, position, sequence, step
//   q      (T, H D)     after rotation
//   cache  keys and values of every sequence
//   z      (T, H D)
//
// One invocation a row and head: it walks the keys first .. position, where first is 0 or what a
// sliding window leaves. Neighbours read the same keys at the same time, so a GPU fetches each once
// per subgroup. Query heads share key/value head h K / H. Grid: (T / WG, H).
// parts: softcap, cached
struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    stride: u32,
    context: u32,
    window: u32,
    scale: f32,
}

override WG: u32 = 32u;
// ceil(D / 4): how many fours a head has; the arrays hold the widest head there is.
override FOURS: u32 = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(WG)
fn attention(@builtin(global_invocation_id) id: vec3<u32>) {
    let t = id.x;
    let head = id.y;
    if t >= params.rows {
        return;
    }
    let row = rows[t];
    let base = t * params.stride + head * params.width;
    var query: array<vec4<f32>, 64>;
    var sum: array<vec4<f32>, 64>;
    for (var i = 0u; i < FOURS; i++) {
        for (var j = 0u; j < 4u; j++) {
            if i * 4u + j < params.width {
                query[i][j] = q[base + i * 4u + j] * params.scale;
            }
        }
    }
    let end = row.y + 1u;
    let first = select(0u, end - min(end, params.window), params.window > 0u);
    let kv_head = head * params.kv_heads / params.heads;
    var largest = -1e30;
    var mass = 0.0;
    for (var key = first; key < end; key++) {
        let at = ((row.z * params.context + key) * params.kv_heads + kv_head) * FOURS;
        var score = 0.0;
        for (var i = 0u; i < FOURS; i++) {
            score += dot(query[i], read_k(at + i));
        }
        score = softcap4(vec4(score)).x;
        let above = max(largest, score);
        let fade = exp(largest - above);
        let weight = exp(score - above);
        largest = above;
        mass = mass * fade + weight;
        for (var i = 0u; i < FOURS; i++) {
            sum[i] = sum[i] * fade + weight * read_v(at + i);
        }
    }
    for (var i = 0u; i < FOURS; i++) {
        for (var j = 0u; j < 4u; j++) {
            if i * 4u + j < params.width {
                z[base + i * 4u + j] = sum[i][j] / mass;
            }
        }
    }
}
