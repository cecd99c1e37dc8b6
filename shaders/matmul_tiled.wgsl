// matmul_tiled: y = x W^T, for many rows, through workgroup memory.
//
//   x        (T, C)
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   y        (T, N)  passed to `store`, four columns at a time
//
// A workgroup makes 64 outputs of 8 TILE rows, an invocation 8 of TILE rows. Step by step it
// fetches 32 columns of 64 rows of W and of 8 TILE rows of x, neighbors fetching neighboring
// words, decodes each weight once, and uses it 8 TILE times. Grid: (N / 64, T / 8 / TILE).
// parts: weight, store, tile
struct Params { words: u32, x_stride: u32, out_stride: u32, rows: u32, count: u32, first: u32 }

// Rows of an invocation, up to 8: fewer if there are fewer rows than in a whole tile.
override TILE: u32 = 8u;
// Lengths of the workgroup's arrays: naga wants each as a named constant.
override X_FOURS: u32 = 64u * TILE;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;

// (8 vec4s of columns, rows); with `each` rows to an invocation, row r lies at
// (r % each) 8 + r / each, so that its rows and those of its neighbor are in different banks.
var<workgroup> w_tile: array<Four, 512>;
var<workgroup> x_tile: array<Four, X_FOURS>;

fn place(row: u32, each: u32) -> u32 {
    return row % each * 8u + row / each;
}

@compute @workgroup_size(64)
fn matmul_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = group.x * 64u + lane % 8u * 8u;
    let t = (group.y * 8u + lane / 8u) * TILE;
    var a: array<vec4<f32>, 8>;
    var b: array<vec4<f32>, 8>;
    let words = 32u / WORD;
    // The grid is one deep, so that group.z is 0: see matmul.
    for (var first = group.z; first < params.words; first += words) {
        for (var i = lane; i < 64u * words; i += 64u) {
            let row = i / words;
            let word = first + i % words;
            // Words past the end of a row count as zeros; rows past the end repeat the last one.
            let inside = f32(word < params.words);
            let values = load_word(
                min(group.x * 64u + row, params.count - 1u),
                min(word, params.words - 1u),
            );
            for (var four = 0u; four < WORD / 4u; four++) {
                let k = i % words * (WORD / 4u) + four;
                w_tile[k * 64u + place(row, 8u)] = narrow_w(inside * word4(values, four));
            }
        }
        for (var i = lane; i < X_FOURS; i += 64u) {
            let row = min(group.y * 8u * TILE + i / 8u, params.rows - 1u);
            let k = min(first * (WORD / 4u) + i % 8u, params.x_stride - 1u);
            let value = x[row * params.x_stride + k];
            x_tile[i % 8u * 8u * TILE + place(i / 8u, TILE)] = narrow_x(value);
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let w = k * 64u + lane % 8u;
            let low = Fours(w_tile[w], w_tile[w + 8u], w_tile[w + 16u], w_tile[w + 24u]);
            let high = Fours(w_tile[w + 32u], w_tile[w + 40u], w_tile[w + 48u], w_tile[w + 56u]);
            for (var j = 0u; j < TILE; j++) {
                let v = x_tile[(k * TILE + j) * 8u + lane / 8u];
                a[j] += multiply(v, low);
                b[j] += multiply(v, high);
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < TILE; j++) {
        if n < params.count && t + j < params.rows {
            let column = (params.first + n) / 4u;
            store4(t + j, column, params.out_stride, a[j]);
            store4(t + j, column + 1u, params.out_stride, b[j]);
        }
    }
}
