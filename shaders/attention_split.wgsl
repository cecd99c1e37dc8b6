// attention_split: attention of a few rows, its keys split over workgroups; attention_merge joins.
//
//   rows     (T)          token, position, sequence, step
//   q        (T, H D)     after rotation
//   cache    keys and values of every sequence
//   partial  (T H S, 4 FOURS + 4)  a row, head and split: sum of exp(score - m) v, mass, m
//
// A workgroup takes CHUNK keys of one row for SHARE query heads that use the same key/value head,
// so each key and value is fetched once for all of them. Grid: (H / SHARE, T, keys / CHUNK).
// parts: reduce, softcap, cached
struct Params {
    heads: u32,
    kv_heads: u32,
    width: u32,
    stride: u32,
    context: u32,
    window: u32,
    splits: u32,
    scale: f32,
}

override CHUNK: u32 = 64u;
override FOURS: u32 = 16u;
// Query heads that one workgroup serves; divides H / K.
override SHARE: u32 = 1u;
// Lengths of the workgroup's arrays: naga wants each to be a name of its own.
override QUERIES: u32 = SHARE * FOURS;
override SCORES: u32 = SHARE * CHUNK;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

var<workgroup> query: array<vec4<f32>, QUERIES>;
var<workgroup> weights: array<f32, SCORES>;

@compute @workgroup_size(WG)
fn attention_split(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = rows[group.y];
    let end = row.y + 1u;
    let window_first = select(0u, end - min(end, params.window), params.window > 0u);
    let first = max(window_first, group.z * CHUNK);
    let last = min(end, (group.z + 1u) * CHUNK);
    let count = select(0u, last - first, last > first);
    let head = group.x * SHARE;
    let kv_head = head * params.kv_heads / params.heads;
    for (var i = lane; i < SHARE * FOURS; i += WG) {
        let at = group.y * params.stride + (head + i / FOURS) * params.width;
        var four = vec4(0.0);
        for (var j = 0u; j < 4u; j++) {
            let e = i % FOURS * 4u + j;
            if e < params.width {
                four[j] = q[at + e] * params.scale;
            }
        }
        query[i] = four;
    }
    workgroupBarrier();

    // Scores: an invocation a key.
    let keys = (row.z * params.context + first) * params.kv_heads + kv_head;
    for (var key = lane; key < count; key += WG) {
        let at = (keys + key * params.kv_heads) * FOURS;
        for (var h = 0u; h < SHARE; h++) {
            var score = 0.0;
            for (var i = 0u; i < FOURS; i++) {
                score += dot(query[h * FOURS + i], read_k(at + i));
            }
            weights[h * CHUNK + key] = softcap(score);
        }
    }
    workgroupBarrier();

    for (var h = 0u; h < SHARE; h++) {
        var largest = -1e30;
        for (var key = lane; key < count; key += WG) {
            largest = max(largest, weights[h * CHUNK + key]);
        }
        largest = max_workgroup(largest, lane);
        var mass = 0.0;
        for (var key = lane; key < count; key += WG) {
            let weight = exp(weights[h * CHUNK + key] - largest);
            weights[h * CHUNK + key] = weight;
            mass += weight;
        }
        mass = sum_workgroup(mass, lane);
        if lane == 0u {
            let at = ((group.y * params.heads + head + h) * params.splits + group.z) * (FOURS + 1u);
            partial[at + FOURS] = vec4(mass, largest, 0.0, 0.0);
        }
    }
    workgroupBarrier();

    // Values: an invocation four values of a head.
    for (var i = lane; i < SHARE * FOURS; i += WG) {
        let h = i / FOURS;
        var sum = vec4(0.0);
        for (var key = 0u; key < count; key++) {
            let at = (keys + key * params.kv_heads) * FOURS;
            sum += weights[h * CHUNK + key] * read_v(at + i % FOURS);
        }
        let at = ((group.y * params.heads + head + h) * params.splits + group.z) * (FOURS + 1u);
        partial[at + i % FOURS] = sum;
    }
}
