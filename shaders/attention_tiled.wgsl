// attention_tiled: attention of many rows, with keys and values in workgroup memory.
// Dao et al. 2022; the softmax runs online (Milakov and Gimelshein 2018).
//
//   rows   (T)          token, position, sequence, step
//   q      (T, H D)     after rotation
//   cache  keys and values of every sequence, positions `first` .. of them
//   out    (T, H D); where the cache has several parts: (T H S, 4 VEC4S + 4), as attention_split
//
// A workgroup takes 32 rows of one head and walks the keys that any of them sees, 32 at a time, one
// sequence after another; heads go through workgroup memory in slices of eight vec4s. An
// invocation has four rows: the scores of four keys, and one vec4 per slice of the sums.
// Grid: (T / 32, H).
// Long, since scores, softmax and values share one walk over the keys.
// parts: attention_params, softcap, cached

override VEC4S: u32 = 16u;
override PARTIAL: bool = false;
// No sequence has this number.
const NONE = 0xffffffffu;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// Slices of queries and keys, (8 vec4s, 32), or of values, (32, 8 vec4s); then scores, which become
// weights, (8 vec4s of keys, 32 rows). Row or key i lies at i % 4 * 8 + i / 4, so that the four of
// an invocation and those of its neighbors are in different banks.
var<workgroup> queries: array<vec4<f32>, 256>;
var<workgroup> tile: array<vec4<f32>, 256>;
var<workgroup> weights: array<vec4<f32>, 256>;
var<workgroup> largest: array<f32, 32>;
var<workgroup> mass: array<f32, 32>;
var<workgroup> fades: array<f32, 32>;

// The first key that a row sees.
fn first_key(row: vec4<u32>) -> u32 {
    let end = row.y + 1u;
    return max(params.first, select(0u, end - min(end, params.window), params.window > 0u));
}

// A vec4 of a row's query.
fn query4(t: u32, head: u32, four: u32) -> vec4<f32> {
    var value = vec4(0.0);
    for (var e = four * 4u; e < min(four * 4u + 4u, params.width); e++) {
        value[e % 4u] = q[t * params.stride + head * params.width + e] * params.scale;
    }
    return value;
}

@compute @workgroup_size(64)
fn attention_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let kv_head = group.y * params.kv_heads / params.heads;
    let r = lane / 8u;
    let c = lane % 8u;
    var sums: array<vec4<f32>, 32>;
    if lane < 32u {
        largest[lane] = -1e30;
        mass[lane] = 0.0;
    }
    var sequence = NONE;
    for (var i = 0u; i < 32u; i++) {
        sequence = min(sequence, rows[min(group.x * 32u + i, params.rows - 1u)].z);
    }
    while sequence != NONE {
        // The keys that rows of this sequence see, and the sequence that comes next.
        var first = NONE;
        var end = 0u;
        var next = NONE;
        for (var i = 0u; i < 32u; i++) {
            let row = rows[min(group.x * 32u + i, params.rows - 1u)];
            if row.z == sequence {
                first = min(first, first_key(row));
                end = max(end, min(row.y + 1u, params.first + params.context));
            } else if row.z > sequence {
                next = min(next, row.z);
            }
        }
        for (var key = first; key < end; key += 32u) {
            let start =
                (sequence * params.kv_heads + kv_head) * params.context + key - params.first;
            var dots = array<vec4<f32>, 4>();
            for (var slice = 0u; slice < VEC4S; slice += 8u) {
                for (var i = lane; i < 256u; i += 64u) {
                    let place = i % 8u * 32u + i / 8u % 4u * 8u + i / 32u;
                    let four = min(slice + i % 8u, VEC4S - 1u);
                    let t = min(group.x * 32u + i / 8u, params.rows - 1u);
                    queries[place] = query4(t, group.y, four);
                    let slot = start + min(i / 8u, end - 1u - key);
                    tile[place] = read_k(slot * VEC4S + four);
                }
                workgroupBarrier();
                for (var f = 0u; f < min(8u, VEC4S - slice); f++) {
                    let at = f * 32u + c;
                    let k = mat4x4(tile[at], tile[at + 8u], tile[at + 16u], tile[at + 24u]);
                    for (var j = 0u; j < 4u; j++) {
                        dots[j] += queries[f * 32u + j * 8u + r] * k;
                    }
                }
                workgroupBarrier();
            }
            let keys = vec4(key + c * 4u) + vec4(0u, 1u, 2u, 3u);
            for (var j = 0u; j < 4u; j++) {
                let row = rows[min(group.x * 32u + r * 4u + j, params.rows - 1u)];
                let last = min(row.y, end - 1u);
                let seen = (keys >= vec4(first_key(row))) & (keys <= vec4(last));
                let shown = seen & vec4(row.z == sequence);
                weights[c * 32u + j * 8u + r] = select(vec4(-1e30), softcap4(dots[j]), shown);
            }
            workgroupBarrier();
            if lane < 32u {
                var above = largest[lane];
                for (var i = lane; i < 256u; i += 32u) {
                    let four = weights[i];
                    above = max(above, max(max(four.x, four.y), max(four.z, four.w)));
                }
                let fade = exp(largest[lane] - above);
                var sum = mass[lane] * fade;
                for (var i = lane; i < 256u; i += 32u) {
                    // A row that sees nothing yet has no largest score to compare with. NaN is not
                    // hidden.
                    let hidden = weights[i] <= vec4(-1e29);
                    let own = select(exp(weights[i] - above), vec4(0.0), hidden);
                    weights[i] = own;
                    sum += dot(own, vec4(1.0));
                }
                fades[lane] = fade;
                largest[lane] = above;
                mass[lane] = sum;
            }
            for (var slice = 0u; slice < VEC4S; slice += 8u) {
                for (var i = lane; i < 256u; i += 64u) {
                    let slot = start + min(i / 8u, end - 1u - key);
                    let four = min(slice + i % 8u, VEC4S - 1u);
                    tile[i] = read_v(slot * VEC4S + four);
                }
                workgroupBarrier();
                for (var j = 0u; j < 4u; j++) {
                    sums[slice / 2u + j] *= fades[j * 8u + r];
                }
                for (var quad = 0u; quad < 8u; quad++) {
                    let at = quad * 32u + c;
                    let v = mat4x4(tile[at], tile[at + 8u], tile[at + 16u], tile[at + 24u]);
                    for (var j = 0u; j < 4u; j++) {
                        sums[slice / 2u + j] += v * weights[quad * 32u + j * 8u + r];
                    }
                }
                workgroupBarrier();
            }
        }
        sequence = next;
    }
    workgroupBarrier();
    for (var i = 0u; i < 4u * ((VEC4S + 7u) / 8u); i++) {
        let place = i % 4u * 8u + r;
        let t = group.x * 32u + r * 4u + i % 4u;
        let four = i / 4u * 8u + c;
        if t < params.rows && four < VEC4S {
            store(t, group.y, four, sums[i], vec2(mass[place], largest[place]));
        }
    }
}

// A vec4 of a row's result; for one part of the cache, the sums, with mass and largest score.
fn store(t: u32, head: u32, four: u32, sum: vec4<f32>, tail: vec2<f32>) {
    if PARTIAL {
        let run = (t * params.heads + head) * params.splits + params.split;
        let at = run * (VEC4S + 1u) * 4u;
        for (var j = 0u; j < 4u; j++) {
            out[at + four * 4u + j] = sum[j];
        }
        out[at + VEC4S * 4u] = tail.x;
        out[at + VEC4S * 4u + 1u] = tail.y;
        return;
    }
    for (var e = four * 4u; e < min(four * 4u + 4u, params.width); e++) {
        out[t * params.stride + head * params.width + e] = sum[e % 4u] / tail.x;
    }
}
