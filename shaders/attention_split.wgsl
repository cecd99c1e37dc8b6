// attention_split: attention of a few rows, its keys split over workgroups; attention_merge joins.
//
//   rows     (T)       token, position, sequence, step
//   q        (T, H D)  after rotation
//   cache    keys and values of every sequence, positions `first` .. of them
//   partial  (T H S, 4 FOURS + 4)  a row, head and split: sum of exp(score - m) v, mass, m
//
// A workgroup takes CHUNK keys of a row for SHARE query heads that use one key/value head. An
// invocation takes four keys, whose fours it shares with SLICES neighbours, then one four of values
// and every GROUPS-th four of keys. Grid: (H / SHARE, T, keys / CHUNK).
// parts: reduce, softcap, cached
struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    stride: u32,
    context: u32,
    window: u32,
    first: u32,
    splits: u32,
    split: u32,
    scale: f32,
}

// Keys of a workgroup, a multiple of four.
override CHUNK: u32 = 64u;
override FOURS: u32 = 16u;
// A divisor of H / K, at most eight.
override SHARE: u32 = 1u;
override SLICES: u32 = 1u;
override GROUPS: u32 = 1u;
// Lengths of the workgroup's arrays: naga wants each to be a name of its own.
override QUERIES: u32 = SHARE * FOURS;
override QUADS: u32 = SHARE * CHUNK / 4u;
override SCORES: u32 = SLICES * QUADS;
override SUMS: u32 = GROUPS * QUERIES;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

var<workgroup> query: array<vec4<f32>, QUERIES>;
// (SLICES, SHARE, CHUNK / 4): scores of four keys, then in the first slice their weights.
var<workgroup> scores: array<vec4<f32>, SCORES>;
// (GROUPS, SHARE, FOURS).
var<workgroup> sums: array<vec4<f32>, SUMS>;

// Where four keys of the cache begin, counted in fours; past the last of `count` it repeats.
fn places(first: u32, key: u32, count: u32) -> vec4<u32> {
    let own = min(key + vec4(0u, 1u, 2u, 3u), vec4(count - 1u));
    return (first + own) * FOURS;
}

@compute @workgroup_size(WG)
fn attention_split(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = rows[group.y];
    let end = row.y + 1u;
    let border = (params.split + group.z) * CHUNK;
    let first = max(select(0u, end - min(end, params.window), params.window > 0u), border);
    let last = min(end, border + CHUNK);
    let count = select(0u, last - first, last > first);
    let quads = (count + 3u) / 4u;
    let kv_head = group.x * SHARE * params.kv_heads / params.heads;
    let keys = (row.z * params.kv_heads + kv_head) * params.context + first - params.first;
    for (var i = lane; i < QUERIES; i += WG) {
        let at = group.y * params.stride + (group.x * SHARE + i / FOURS) * params.width;
        for (var e = i % FOURS * 4u; e < i % FOURS * 4u + 4u; e++) {
            let value = q[at + min(e, params.width - 1u)] * params.scale;
            query[i][e % 4u] = select(0.0, value, e < params.width);
        }
    }
    workgroupBarrier();

    for (var item = lane; item < quads * SLICES; item += WG) {
        let at = places(keys, item / SLICES * 4u, count);
        var dots = array<vec4<f32>, 8>();
        for (var i = item % SLICES; i < FOURS; i += SLICES) {
            let k = mat4x4(read_k(at.x + i), read_k(at.y + i), read_k(at.z + i), read_k(at.w + i));
            for (var h = 0u; h < SHARE; h++) {
                dots[h] += query[h * FOURS + i] * k;
            }
        }
        for (var h = 0u; h < SHARE; h++) {
            scores[item % SLICES * QUADS + h * (CHUNK / 4u) + item / SLICES] = dots[h];
        }
    }
    workgroupBarrier();

    for (var h = 0u; h < SHARE; h++) {
        var largest = -1e30;
        for (var quad = lane; quad < quads; quad += WG) {
            let at = h * (CHUNK / 4u) + quad;
            var four = scores[at];
            for (var slice = 1u; slice < SLICES; slice++) {
                four += scores[slice * QUADS + at];
            }
            let inside = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(count);
            four = select(vec4(-1e30), softcap4(four), inside);
            scores[at] = four;
            largest = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
        }
        largest = max_workgroup(largest, lane);
        var mass = 0.0;
        for (var quad = lane; quad < quads; quad += WG) {
            let at = h * (CHUNK / 4u) + quad;
            scores[at] = exp(scores[at] - largest);
            mass += dot(scores[at], vec4(1.0));
        }
        mass = sum_workgroup(mass, lane);
        if lane == 0u {
            partial[place(group, h) + FOURS] = vec4(mass, largest, 0.0, 0.0);
        }
    }
    workgroupBarrier();

    for (var item = lane; item < FOURS * GROUPS; item += WG) {
        let i = item % FOURS;
        var own = array<vec4<f32>, 8>();
        for (var quad = item / FOURS; quad < quads; quad += GROUPS) {
            let at = places(keys, quad * 4u, count) + i;
            let v = mat4x4(read_v(at.x), read_v(at.y), read_v(at.z), read_v(at.w));
            for (var h = 0u; h < SHARE; h++) {
                own[h] += v * scores[h * (CHUNK / 4u) + quad];
            }
        }
        for (var h = 0u; h < SHARE; h++) {
            sums[(item / FOURS * SHARE + h) * FOURS + i] = own[h];
        }
    }
    workgroupBarrier();

    for (var i = lane; i < QUERIES; i += WG) {
        var sum = vec4(0.0);
        for (var g = i; g < SUMS; g += QUERIES) {
            sum += sums[g];
        }
        partial[place(group, i / FOURS) + i % FOURS] = sum;
    }
}

// Where the partial results of one of the workgroup's heads begin.
fn place(group: vec3<u32>, h: u32) -> u32 {
    let run = group.y * params.heads + group.x * SHARE + h;
    return (run * params.splits + params.split + group.z) * (FOURS + 1u);
}
