// attention_split_shuffle: attention_split for adapters whose lanes are a CPU core's vector unit.
//
//   rows     (T)       token, position, sequence, step
//   q        (T, H D)  after rotation
//   cache    keys and values of every sequence, positions `first` .. of them
//   partial  (T H S, 4 VEC4S + 4)  a row, head and split: sum of exp(score - m) v; mass; m
//
// Such an adapter pays for a load per lane even where all lanes read the same address. So a
// workgroup is one subgroup, whose lanes take four keys each, then vec4s of values. Each lane loads
// a share of what all of them need, queries and weights, and reads the rest by subgroup shuffles,
// as in matvec_shuffle. Grid: (H / SHARE, T, keys / CHUNK).
// parts: attention_params, chunk, softcap, cached

// Lanes of a subgroup, a power of two from 8 on.
override WG: u32 = 8u;
// The vec4s of values that a lane sums at once, at most four: the lanes together then read
// memory without gaps, which suits the prefetcher.
override ROUNDS: u32 = 2u;
override SCORES: u32 = SHARE * CHUNK / 4u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial: array<vec4<f32>>;

// (SHARE, CHUNK / 4): scores of four keys.
var<workgroup> scores: array<vec4<f32>, SCORES>;

// Per head, a lane holds one of eight vec4s of the query, later one of four quads of weights.
var<private> own: array<vec4<f32>, 8>;
// The other lane's value.
var<private> passed: array<vec4<f32>, 8>;
// Scores of a lane's four keys; then its sums, (ROUNDS, 8).
var<private> sums: array<vec4<f32>, 32>;

// Reads from one of the first four lanes. With a constant lane this is one instruction; with a
// variable one the compiler makes a loop over all lanes.
fn take(giver: u32) {
    for (var h = 0u; h < SHARE; h++) {
        switch giver {
            case 0u: { passed[h] = subgroupBroadcast(own[h], 0u); }
            case 1u: { passed[h] = subgroupBroadcast(own[h], 1u); }
            case 2u: { passed[h] = subgroupBroadcast(own[h], 2u); }
            default: { passed[h] = subgroupBroadcast(own[h], 3u); }
        }
    }
}

// Multiplies a vec4 of the queries by those of four keys; zeros past a head's end.
fn add_keys(at: vec4<u32>, four: u32) {
    let i = at + min(four, VEC4S - 1u);
    let k = mat4x4(read_k(i.x), read_k(i.y), read_k(i.z), read_k(i.w));
    for (var h = 0u; h < SHARE; h++) {
        sums[h] += passed[h] * k;
    }
}

// A vec4 of a head's query; zeros past its end.
fn query4(h: u32, i: u32) -> vec4<f32> {
    return select(vec4(0.0), query[h * VEC4S + min(i, VEC4S - 1u)], i < VEC4S);
}

// The weights of four keys; zeros past the last.
fn weights4(h: u32, quad: u32, quads: u32, largest: f32) -> vec4<f32> {
    let four = scores[h * (CHUNK / 4u) + min(quad, quads - 1u)];
    return select(vec4(0.0), exp(four - largest), quad < quads);
}

// Adds the values of four keys, times their weights.
fn add_values(start: u32, at: vec4<u32>) {
    for (var e = 0u; e < 4u; e++) {
        for (var r = 0u; r < ROUNDS; r++) {
            let v = read_v(at[e] + min(start + r * WG, VEC4S - 1u));
            for (var h = 0u; h < SHARE; h++) {
                sums[r * 8u + h] += v * passed[h][e];
            }
        }
    }
}

@compute @workgroup_size(WG)
fn attention_split_shuffle(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let chunk = chunk_of(rows[group.y], group);
    load_queries(group, lane);
    workgroupBarrier();

    var largest: array<f32, 8>;
    for (var h = 0u; h < SHARE; h++) { largest[h] = -1e30; }
    for (var start = 0u; start < chunk.quads; start += WG) {
        let quad = start + lane;
        let at = places(chunk.keys, quad * 4u, chunk.count);
        for (var h = 0u; h < SHARE; h++) { sums[h] = vec4(0.0); }
        for (var i = 0u; i < VEC4S; i += 8u) {
            for (var h = 0u; h < SHARE; h++) { own[h] = query4(h, i + lane % 8u); }
            take(0u); add_keys(at, i);
            take(1u); add_keys(at, i + 1u);
            take(2u); add_keys(at, i + 2u);
            take(3u); add_keys(at, i + 3u);
            if i + 4u >= VEC4S {
                break;
            }
            for (var h = 0u; h < SHARE; h++) { own[h] = subgroupShuffleXor(own[h], 4u); }
            take(0u); add_keys(at, i + 4u);
            take(1u); add_keys(at, i + 5u);
            take(2u); add_keys(at, i + 6u);
            take(3u); add_keys(at, i + 7u);
        }
        let inside = vec4(quad * 4u) + vec4(0u, 1u, 2u, 3u) < vec4(chunk.count);
        for (var h = 0u; h < SHARE; h++) {
            let four = select(vec4(-1e30), softcap4(sums[h]), inside);
            largest[h] = max(largest[h], max(max(four.x, four.y), max(four.z, four.w)));
            if quad < CHUNK / 4u {
                scores[h * (CHUNK / 4u) + quad] = four;
            }
        }
    }
    for (var h = 0u; h < SHARE; h++) { largest[h] = subgroupMax(largest[h]); }
    workgroupBarrier();

    for (var block = 0u; block < VEC4S; block += ROUNDS * WG) {
        let start = block + lane;
        for (var i = 0u; i < ROUNDS * 8u; i++) { sums[i] = vec4(0.0); }
        var mass = array<f32, 8>();
        for (var quad = 0u; quad < chunk.quads; quad += 4u) {
            for (var h = 0u; h < SHARE; h++) {
                own[h] = weights4(h, quad + lane % 4u, chunk.quads, largest[h]);
                mass[h] += dot(own[h], vec4(1.0));
            }
            take(0u); add_values(start, places(chunk.keys, quad * 4u, chunk.count));
            take(1u); add_values(start, places(chunk.keys, quad * 4u + 4u, chunk.count));
            take(2u); add_values(start, places(chunk.keys, quad * 4u + 8u, chunk.count));
            take(3u); add_values(start, places(chunk.keys, quad * 4u + 12u, chunk.count));
        }
        for (var h = 0u; h < SHARE; h++) {
            let whole = subgroupAdd(select(0.0, mass[h], lane < 4u));
            let at = place(group, h);
            for (var r = 0u; r < ROUNDS; r++) {
                if start + r * WG < VEC4S {
                    partial[at + start + r * WG] = sums[r * 8u + h];
                }
            }
            if start == 0u {
                partial[at + VEC4S] = vec4(whole, largest[h], 0.0, 0.0);
            }
        }
    }
}
