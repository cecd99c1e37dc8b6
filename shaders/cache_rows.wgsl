// cache_rows: the keys of each row's own token, as the cache holds them.
//
//   rows   (T)       token, position, sequence, step
//   cache  keys and values of every sequence, positions `first` .. of them
//   out    (T, K D)
//
// One invocation makes one value; rows whose keys are in another part of the cache are skipped.
// Grid: (K D / 64, T).
// parts: cached
struct Params { kv_heads: u32, width: u32, context: u32, out_stride: u32, first: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn cache_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / params.width;
    let e = id.x % params.width;
    let row = rows[id.y];
    let position = row.y - params.first;
    if head >= params.kv_heads || row.y < params.first || position >= params.context {
        return;
    }
    let vec4s = (params.width + 3u) / 4u;
    let at = ((row.z * params.kv_heads + head) * params.context + position) * vec4s;
    out[id.y * params.out_stride + id.x] = read_k(at + e / 4u)[e % 4u];
}
