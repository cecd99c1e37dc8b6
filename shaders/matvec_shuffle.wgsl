// matvec_shuffle: y = x W^T for few rows of x, where the lanes are a CPU core's vector unit.
//
//   x        (T, C)  T <= COLS
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   y        (T, N)  passed to `store`, four columns at a time
//
// Every lane has four rows of W to itself, so nothing is summed across lanes. Such an adapter pays
// for a load per lane even where all lanes read the same address; so the lanes of a subgroup load
// different vec4s of x, 32 values at a time, and share them by subgroup shuffles: lanes 0 to 3 hold
// the first four vec4s in `near` and the second four in `far`. The eight steps are written out: a
// shuffle from a constant lane is one instruction, from a variable lane a loop over all lanes.
// Grid: (N / 4 / WG).
// parts: weight, store
struct Params { words: u32, x_stride: u32, out_stride: u32, rows: u32, count: u32, first: u32 }

override WG: u32 = 8u;
override COLS: u32 = 1u;
// Lanes of a subgroup, a power of two from 4 on.
override LANES: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

var<private> w: array<Word, 4>;
var<private> row: u32;

// Four values of a row of x; zeros past its end.
fn x4(t: u32, k: u32) -> vec4<f32> {
    let inside = f32(k < params.x_stride);
    return inside * x[t * params.x_stride + min(k, params.x_stride - 1u)];
}

// Four rows by four columns: step k of the 32 values from word `first` on. Words past the end
// of a row repeat others, and are multiplied by zeros of x.
fn weights4(first: u32, k: u32) -> mat4x4<f32> {
    if k % (WORD / 4u) == 0u {
        w = load_words(row, params.count - 1u, min(first + k / (WORD / 4u), params.words - 1u));
    }
    let four = k % (WORD / 4u);
    return mat4x4(word4(w[0], four), word4(w[1], four), word4(w[2], four), word4(w[3], four));
}

@compute @workgroup_size(WG)
fn matvec_shuffle(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = ((group.x + group.y * 65535u) * WG + lane) * 4u;
    // Rows past the end repeat the last ones; their results go into padding or are not stored.
    row = min(n, (params.count - 1u) / 4u * 4u);
    var sums: array<vec4<f32>, 8>;
    var near: array<vec4<f32>, 8>;
    var far: array<vec4<f32>, 8>;
    for (var first = 0u; first < params.words; first += 32u / WORD) {
        let k = first * (WORD / 4u) + lane % min(LANES, 8u);
        for (var t = 0u; t < COLS; t++) {
            near[t] = x4(t, k);
            if LANES < 8u {
                far[t] = x4(t, k + 4u);
            } else {
                far[t] = subgroupShuffleXor(near[t], 4u);
            }
        }
        var m = weights4(first, 0u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(near[t], 0u) * m; }
        m = weights4(first, 1u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(near[t], 1u) * m; }
        m = weights4(first, 2u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(near[t], 2u) * m; }
        m = weights4(first, 3u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(near[t], 3u) * m; }
        m = weights4(first, 4u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(far[t], 0u) * m; }
        m = weights4(first, 5u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(far[t], 1u) * m; }
        m = weights4(first, 6u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(far[t], 2u) * m; }
        m = weights4(first, 7u);
        for (var t = 0u; t < COLS; t++) { sums[t] += subgroupBroadcast(far[t], 3u) * m; }
    }
    for (var t = 0u; t < COLS; t++) {
        if n < params.count && t < params.rows {
            store4(t, (params.first + n) / 4u, params.out_stride, sums[t]);
        }
    }
}
