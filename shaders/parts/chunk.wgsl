// Slot `chunk`: the keys of a row that a workgroup takes, and the queries of the SHARE heads that
// use them.
// Keys of a workgroup, a multiple of four.
override CHUNK: u32 = 64u;
override VEC4S: u32 = 16u;
// A divisor of H / K, at most eight.
override SHARE: u32 = 1u;
// The length of a workgroup's array: naga wants it as a named constant.
override QUERIES: u32 = SHARE * VEC4S;

var<workgroup> query: array<vec4<f32>, QUERIES>;

struct Chunk {
    // Where the first key is, counted in keys of one head.
    keys: u32,
    // How many keys there are, and how many vec4s of them.
    count: u32,
    quads: u32,
}

// The keys of the workgroup's chunk that the row sees.
fn chunk_of(row: vec4<u32>, group: vec3<u32>) -> Chunk {
    let end = row.y + 1u;
    let border = (params.split + group.z) * CHUNK;
    let first = max(select(0u, end - min(end, params.window), params.window > 0u), border);
    let last = min(end, border + CHUNK);
    let count = select(0u, last - first, last > first);
    let kv_head = group.x * SHARE * params.kv_heads / params.heads;
    let keys = (row.z * params.kv_heads + kv_head) * params.context + first - params.first;
    return Chunk(keys, count, (count + 3u) / 4u);
}

// Loads the queries, times the scale; zeros past a head's end.
fn load_queries(group: vec3<u32>, lane: u32) {
    for (var i = lane; i < QUERIES; i += WG) {
        let at = group.y * params.stride + (group.x * SHARE + i / VEC4S) * params.width;
        for (var e = i % VEC4S * 4u; e < i % VEC4S * 4u + 4u; e++) {
            let value = q[at + min(e, params.width - 1u)] * params.scale;
            query[i][e % 4u] = select(0.0, value, e < params.width);
        }
    }
}

// Where four keys of the cache begin, counted in vec4s; the last of `count` is repeated.
fn places(first: u32, key: u32, count: u32) -> vec4<u32> {
    return (first + min(key + vec4(0u, 1u, 2u, 3u), vec4(count - 1u))) * VEC4S;
}

// Where the partial results of one of the workgroup's heads begin.
fn place(group: vec3<u32>, h: u32) -> u32 {
    let run = group.y * params.heads + group.x * SHARE + h;
    return (run * params.splits + params.split + group.z) * (VEC4S + 1u);
}
