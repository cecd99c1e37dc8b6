// matmul: y = x W^T, for many rows.
//
//   x        (T, C)
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   y        (T, N)  passed to `store`, four columns at a time
//
// An invocation makes 8 x 8 outputs straight from storage: for a word of 8 rows of W and of x it
// does 16 products of a row and a 4 x 4 matrix, so each loaded value is used eight times.
// Grid: (N / 8 / WG_N, T / 8 / WG_T).
// parts: weight, store
struct Params { words: u32, x_stride: u32, out_stride: u32, rows: u32, count: u32, first: u32 }

override WG_N: u32 = 8u;
override WG_T: u32 = 4u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

@compute @workgroup_size(WG_N, WG_T)
fn matmul(@builtin(global_invocation_id) id: vec3<u32>) {
    let n = id.x * 8u;
    let t = id.y * 8u;
    if n >= params.count || t >= params.rows {
        return;
    }
    // Rows past the end repeat the last ones; their results are not stored.
    let last_n = params.count - 1u;
    let high = min(n + 4u, last_n / 4u * 4u);
    let last_t = params.rows - 1u;
    let x0 = t * params.x_stride;
    let x1 = min(t + 1u, last_t) * params.x_stride;
    let x2 = min(t + 2u, last_t) * params.x_stride;
    let x3 = min(t + 3u, last_t) * params.x_stride;
    let x4 = min(t + 4u, last_t) * params.x_stride;
    let x5 = min(t + 5u, last_t) * params.x_stride;
    let x6 = min(t + 6u, last_t) * params.x_stride;
    let x7 = min(t + 7u, last_t) * params.x_stride;
    var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
    var a4 = vec4(0.0); var a5 = vec4(0.0); var a6 = vec4(0.0); var a7 = vec4(0.0);
    var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
    var b4 = vec4(0.0); var b5 = vec4(0.0); var b6 = vec4(0.0); var b7 = vec4(0.0);
    // The grid is one deep, so that id.z is 0. If the loop began at a constant 0, lavapipe would
    // compile the kernel again for the bounds of every dispatch, and keep every copy.
    for (var word = id.z; word < params.words; word++) {
        let v = load_words(n, last_n, word);
        let w = load_words(high, last_n, word);
        for (var four = 0u; four < WORD / 4u; four++) {
            let a =
                mat4x4(word4(v[0], four), word4(v[1], four), word4(v[2], four), word4(v[3], four));
            let b =
                mat4x4(word4(w[0], four), word4(w[1], four), word4(w[2], four), word4(w[3], four));
            let k = word * (WORD / 4u) + four;
            var u = x[x0 + k]; a0 += u * a; b0 += u * b;
            u = x[x1 + k]; a1 += u * a; b1 += u * b;
            u = x[x2 + k]; a2 += u * a; b2 += u * b;
            u = x[x3 + k]; a3 += u * a; b3 += u * b;
            u = x[x4 + k]; a4 += u * a; b4 += u * b;
            u = x[x5 + k]; a5 += u * a; b5 += u * b;
            u = x[x6 + k]; a6 += u * a; b6 += u * b;
            u = x[x7 + k]; a7 += u * a; b7 += u * b;
        }
    }
    store_row(t, n, a0, b0);
    store_row(t + 1u, n, a1, b1);
    store_row(t + 2u, n, a2, b2);
    store_row(t + 3u, n, a3, b3);
    store_row(t + 4u, n, a4, b4);
    store_row(t + 5u, n, a5, b5);
    store_row(t + 6u, n, a6, b6);
    store_row(t + 7u, n, a7, b7);
}

// Eight outputs of one row; a row is padded to a multiple of eight, so there is room for all.
fn store_row(t: u32, n: u32, a: vec4<f32>, b: vec4<f32>) {
    if t < params.rows {
        let column = (params.first + n) / 4u;
        store4(t, column, params.out_stride, a);
        store4(t, column + 1u, params.out_stride, b);
    }
}
