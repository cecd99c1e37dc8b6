// attention_mix: z = pattern v: the last step of attention on its own.
//
//   rows     (T)       token, position, sequence, step
//   pattern  (H T, S)
//   cache    keys and values of every sequence, positions `first` .. of them
//   z        (T, H D)
//
// One invocation makes four values of a head. Keys of weight 0 are skipped, since their values
// may not have been written yet. Grid: (H D / 4 / 64, T).
// parts: cached
struct Params {
    rows: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    pattern_stride: u32,
    out_stride: u32,
    context: u32,
    first: u32,
}

// Whether earlier parts of the cache have been added already.
override ADD: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> pattern: array<f32>;
@group(0) @binding(3) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(64)
fn attention_mix(@builtin(global_invocation_id) id: vec3<u32>) {
    let vec4s = (params.width + 3u) / 4u;
    let head = id.x / vec4s;
    let four = id.x % vec4s;
    if head >= params.heads {
        return;
    }
    let kv_head = head * params.kv_heads / params.heads;
    let start = (rows[id.y].z * params.kv_heads + kv_head) * params.context;
    let base = (head * params.rows + id.y) * params.pattern_stride;
    var sum = vec4(0.0);
    for (var key = 0u; key < params.keys; key++) {
        let weight = pattern[base + params.first + key];
        if weight != 0.0 {
            sum += weight * read_v((start + key) * vec4s + four);
        }
    }
    let at = id.y * params.out_stride + head * params.width + four * 4u;
    for (var j = 0u; j < min(4u, params.width - four * 4u); j++) {
        z[at + j] = select(0.0, z[at + j], ADD) + sum[j];
    }
}
