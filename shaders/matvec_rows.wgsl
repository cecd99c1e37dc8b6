// matvec_rows: y = x W^T for few rows of x, on adapters whose lanes are the vector unit of a core.
//
//   x        (T, C)  T <= COLS
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   y        (T, N)  handed to the store, four columns at a time
//
// Every lane has four rows of W to itself, so nothing is summed across lanes. Such an adapter pays
// for a load per lane even where all lanes read the same address; so the lanes of a subgroup load
// different fours of x, 32 values at a time, and pass them round.
// Grid: (N / 4 / WG).
// parts: weight, store
struct Params { words: u32, x_stride: u32, out_stride: u32, rows: u32, count: u32, first: u32 }

override WG: u32 = 8u;
override COLS: u32 = 1u;
// Lanes of a subgroup, a power of two from 4 on.
override LANES: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn matvec_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = ((group.x + group.y * 65535u) * WG + lane) * 4u;
    let last = params.count - 1u;
    // Rows past the end repeat the last one; their results fall into padding or are not stored.
    let n0 = min(n, last);
    let n1 = min(n + 1u, last);
    let n2 = min(n + 2u, last);
    let n3 = min(n + 3u, last);
    var sums: array<vec4<f32>, 8>;
    var near: array<vec4<f32>, 8>;
    var far: array<vec4<f32>, 8>;
    let words = 32u / WORD;
    for (var first = 0u; first < params.words; first += words) {
        for (var t = 0u; t < COLS; t++) {
            let k = t * params.x_stride + first * (WORD / 4u);
            near[t] = x[k + lane % min(LANES, 8u)];
            if LANES < 8u {
                far[t] = x[k + LANES + lane % LANES];
            }
        }
        for (var w = 0u; w < words; w++) {
            let word = first + w;
            if word >= params.words {
                break;
            }
            let w0 = load_word(n0, word);
            let w1 = load_word(n1, word);
            let w2 = load_word(n2, word);
            let w3 = load_word(n3, word);
            for (var four = 0u; four < WORD / 4u; four++) {
                let m = mat4x4(word4(w0, four), word4(w1, four), word4(w2, four), word4(w3, four));
                let k = w * (WORD / 4u) + four;
                for (var t = 0u; t < COLS; t++) {
                    if k < LANES {
                        sums[t] += subgroupShuffle(near[t], k) * m;
                    } else {
                        sums[t] += subgroupShuffle(far[t], k - LANES) * m;
                    }
                }
            }
        }
    }
    for (var t = 0u; t < COLS; t++) {
        if n < params.count && t < params.rows {
            store4(t, (params.first + n) / 4u, params.out_stride, sums[t]);
        }
    }
}
