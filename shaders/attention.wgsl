// attention: z = softmax(softcap(scale q k^T)) v over the keys that a row sees, for many rows.
// Phuong and Hutter 2022, algorithm 4; the softmax runs online (Milakov and Gimelshein 2018).
//
//   rows   (T)          token, position, sequence, step
//   q      (T, H D)     after rotation
//   cache  keys and values of every sequence, positions `first` .. of them
//   out    (T, H D); where the cache has several parts: (T H S, 4 VEC4S + 4), as attention_split
//
// One invocation per row and head: it walks the keys from 0, or from the start of its sliding
// window, to its position, four at a time. Neighbors read the same keys at the same time. Query
// head h uses key/value head h K / H. Grid: (T / WG, H).
// parts: attention_params, softcap, cached

override WG: u32 = 32u;
// ceil(D / 4): how many vec4s a head has; the arrays have room for the widest head.
override VEC4S: u32 = 16u;
override PARTIAL: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

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
    for (var i = 0u; i < VEC4S; i++) {
        for (var j = 0u; j < 4u; j++) {
            let value = q[base + min(i * 4u + j, params.width - 1u)] * params.scale;
            query[i][j] = select(0.0, value, i * 4u + j < params.width);
        }
    }
    let seen = row.y + 1u;
    let end = min(seen, params.first + params.context);
    let window_first = select(0u, seen - min(seen, params.window), params.window > 0u);
    let kv_head = head * params.kv_heads / params.heads;
    // Where the head's first key would be; it wraps around if another part holds that key.
    let start = (row.z * params.kv_heads + kv_head) * params.context - params.first;
    var largest = -1e30;
    var mass = 0.0;
    for (var key = max(window_first, params.first); key < end; key += 4u) {
        let keys = vec4(key) + vec4(0u, 1u, 2u, 3u);
        let at = (start + min(keys, vec4(end - 1u))) * VEC4S;
        var scores = vec4(0.0);
        for (var i = 0u; i < VEC4S; i++) {
            let four = at + i;
            let k = mat4x4(read_k(four.x), read_k(four.y), read_k(four.z), read_k(four.w));
            scores += query[i] * k;
        }
        scores = select(vec4(-1e30), softcap4(scores), keys < vec4(end));
        let most = max(max(scores.x, scores.y), max(scores.z, scores.w));
        let above = max(largest, most);
        let fade = exp(largest - above);
        let weights = exp(scores - above);
        largest = above;
        mass = mass * fade + dot(weights, vec4(1.0));
        for (var i = 0u; i < VEC4S; i++) {
            let four = at + i;
            let v = mat4x4(read_v(four.x), read_v(four.y), read_v(four.z), read_v(four.w));
            sum[i] = sum[i] * fade + v * weights;
        }
    }
    if PARTIAL {
        let at = ((t * params.heads + head) * params.splits + params.split) * (VEC4S + 1u) * 4u;
        for (var i = 0u; i < VEC4S; i++) {
            for (var j = 0u; j < 4u; j++) {
                out[at + i * 4u + j] = sum[i][j];
            }
        }
        out[at + VEC4S * 4u] = mass;
        out[at + VEC4S * 4u + 1u] = largest;
        return;
    }
    for (var i = 0u; i < VEC4S; i++) {
        for (var j = 0u; j < 4u; j++) {
            if i * 4u + j < params.width {
                out[base + i * 4u + j] = sum[i][j] / mass;
            }
        }
    }
}
