// matvec: y = x W^T, for 1 to COLS = 8 rows of x.
//
//   x        (T, C)  T <= COLS
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   y        (T, N)  passed to `store`, four columns at a time
//
// LANES neighboring invocations share four rows of W and read neighboring words of them; each
// weight is read once, and each value of x serves four rows. The lanes are summed at the end.
// Grid: (N / 4 / (WG / LANES)).
// parts: weight, store, lanes
struct Params { words: u32, x_stride: u32, out_stride: u32, rows: u32, count: u32, first: u32 }

override COLS: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn matvec(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let n = ((group.x + group.y * 65535u) * (WG / LANES) + lane / LANES) * 4u;
    let last = params.count - 1u;
    // Rows past the end repeat the last ones; their results go into padding or are not stored.
    let row = min(n, last / 4u * 4u);
    var sums: array<vec4<f32>, 8>;
    for (var word = lane % LANES; word < params.words; word += LANES) {
        let w = load_words(row, last, word);
        for (var four = 0u; four < WORD / 4u; four++) {
            let m =
                mat4x4(word4(w[0], four), word4(w[1], four), word4(w[2], four), word4(w[3], four));
            let k = word * (WORD / 4u) + four;
            for (var t = 0u; t < COLS; t++) {
                sums[t] += x[t * params.x_stride + k] * m;
            }
        }
    }
    for (var t = 0u; t < COLS; t++) {
        let sum = sum_lanes(sums[t], lane);
        if lane % LANES == 0u && n < params.count && t < params.rows {
            store4(t, (params.first + n) / 4u, params.out_stride, sum);
        }
    }
}
