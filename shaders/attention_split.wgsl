// attention_split: attention of a few rows, keys split over workgroups; attention_merge follows.
//
//   rows     (T)       token, position, sequence, step
//   q        (T, H D)  after rotation
//   cache    keys and values of every sequence, positions `first` .. of them
//   partial  (T H S, 4 VEC4S + 4)  a row, head and split: sum of exp(score - m) v; mass; m
//
// A workgroup takes CHUNK keys of a row for SHARE query heads that use one key/value head. An
// invocation takes four keys, whose vec4s it shares with SLICES neighbors, then one vec4 of the
// values and every GROUPS-th four keys. Grid: (H / SHARE, T, keys / CHUNK).
// parts: attention_params, chunk, reduce, softcap, cached

override SLICES: u32 = 1u;
override GROUPS: u32 = 1u;
// Lengths of the workgroup's arrays: naga wants each as a named constant.
override QUADS: u32 = SHARE * CHUNK / 4u;
override SCORES: u32 = SLICES * QUADS;
override SUMS: u32 = GROUPS * QUERIES;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

// (SLICES, SHARE, CHUNK / 4): scores of four keys, then in the first slice their weights.
var<workgroup> scores: array<vec4<f32>, SCORES>;
// (GROUPS, SHARE, VEC4S).
var<workgroup> sums: array<vec4<f32>, SUMS>;

@compute @workgroup_size(WG)
fn attention_split(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = chunk_of(rows[group.y], group);
    load_queries(group, lane);
    workgroupBarrier();

    for (var item = lane; item < chunk.quads * SLICES; item += WG) {
        let at = places(chunk.keys, item / SLICES * 4u, chunk.count);
        var dots = array<vec4<f32>, 8>();
        for (var i = item % SLICES; i < VEC4S; i += SLICES) {
            let k = mat4x4(read_k(at.x + i), read_k(at.y + i), read_k(at.z + i), read_k(at.w + i));
            for (var h = 0u; h < SHARE; h++) {
                dots[h] += query[h * VEC4S + i] * k;
            }
        }
        for (var h = 0u; h < SHARE; h++) {
            scores[item % SLICES * QUADS + h * (CHUNK / 4u) + item / SLICES] = dots[h];
        }
    }
    workgroupBarrier();

    for (var h = 0u; h < SHARE; h++) {
        var largest = -1e30;
        for (var quad = lane; quad < chunk.quads; quad += WG) {
            let at = h * (CHUNK / 4u) + quad;
            var four = scores[at];
            for (var slice = 1u; slice < SLICES; slice++) {
                four += scores[slice * QUADS + at];
            }
            let inside = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(chunk.count);
            four = select(vec4(-1e30), softcap4(four), inside);
            scores[at] = four;
            largest = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
        }
        largest = max_workgroup(largest, lane);
        var mass = 0.0;
        for (var quad = lane; quad < chunk.quads; quad += WG) {
            let at = h * (CHUNK / 4u) + quad;
            scores[at] = exp(scores[at] - largest);
            mass += dot(scores[at], vec4(1.0));
        }
        mass = sum_workgroup(mass, lane);
        if lane == 0u {
            partial[place(group, h) + VEC4S] = vec4(mass, largest, 0.0, 0.0);
        }
    }
    workgroupBarrier();

    for (var item = lane; item < VEC4S * GROUPS; item += WG) {
        let i = item % VEC4S;
        var own = array<vec4<f32>, 8>();
        for (var quad = item / VEC4S; quad < chunk.quads; quad += GROUPS) {
            let at = places(chunk.keys, quad * 4u, chunk.count) + i;
            let v = mat4x4(read_v(at.x), read_v(at.y), read_v(at.z), read_v(at.w));
            for (var h = 0u; h < SHARE; h++) {
                own[h] += v * scores[h * (CHUNK / 4u) + quad];
            }
        }
        for (var h = 0u; h < SHARE; h++) {
            sums[(item / VEC4S * SHARE + h) * VEC4S + i] = own[h];
        }
    }
    workgroupBarrier();

    for (var i = lane; i < QUERIES; i += WG) {
        var sum = vec4(0.0);
        for (var g = i; g < SUMS; g += QUERIES) {
            sum += sums[g];
        }
        partial[place(group, i / VEC4S) + i % VEC4S] = sum;
    }
}
