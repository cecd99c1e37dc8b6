// linear_backward_x_tiled: dx = dy W, of y = x W^T, for many rows, through workgroup memory.
//
//   dy       (T, N)
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   dx       (.., C) rows `row` .. of it; added to where ADD is true
//
// A workgroup makes 64 columns of 8 TILE rows, an invocation 8 of TILE rows. Step by step it
// fetches 64 columns of 32 rows of W and 32 columns of 8 TILE rows of dy, neighbors fetching
// neighboring words, and uses each weight 8 TILE times. Grid: (C / 64, T / 8 / TILE).
// parts: weight
struct Params {
    words: u32,
    dy_stride: u32,
    dx_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    row: u32,
    columns: u32,
}

// Rows of an invocation, up to 8.
override TILE: u32 = 8u;
override ADD: bool = false;
// Lengths of the workgroup's arrays: naga wants each as a named constant.
override DY_FOURS: u32 = 64u * TILE;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

// (32 rows, 16 vec4s of columns).
var<workgroup> w_tile: array<vec4<f32>, 512>;
// (8 vec4s of columns, 8 TILE rows); row r lies at (r % TILE) 8 + r / TILE, as in matmul_tiled.
var<workgroup> dy_tile: array<vec4<f32>, DY_FOURS>;

@compute @workgroup_size(64)
fn linear_backward_x_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // The vec4s of an invocation are eight apart, with those of its neighbors between them.
    let c = group.x * 16u + lane % 8u;
    let t = (group.y * 8u + lane / 8u) * TILE;
    var a: array<vec4<f32>, 8>;
    var b: array<vec4<f32>, 8>;
    // The words of the 64 columns.
    let words = 64u / WORD;
    // The grid is one deep, so that group.z is 0: see matmul.
    for (var n = group.z; n < params.count; n += 32u) {
        for (var i = lane; i < 32u * words; i += 64u) {
            let row = n + i / words;
            let word = min(group.x * words + i % words, params.words - 1u);
            let values = load_word(min(row, params.count - 1u), word);
            for (var four = 0u; four < WORD / 4u; four++) {
                let value = word4(values, four);
                w_tile[i * (WORD / 4u) + four] = select(vec4(0.0), value, row < params.count);
            }
        }
        for (var i = lane; i < DY_FOURS; i += 64u) {
            let row = min(group.y * 8u * TILE + i / 8u, params.rows - 1u);
            let four = n / 4u + i % 8u;
            let at = params.first / 4u + min(four, (params.count - 1u) / 4u);
            // Values past the last output are ignored.
            let outputs = vec4(four * 4u) + vec4(0u, 1u, 2u, 3u);
            let value = dy[row * params.dy_stride + at];
            dy_tile[(i % 8u * TILE + i / 8u % TILE) * 8u + i / 8u / TILE] =
                select(vec4(0.0), value, outputs < vec4(params.count));
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let w = k * 64u + lane % 8u;
            let low = mat4x4(w_tile[w], w_tile[w + 16u], w_tile[w + 32u], w_tile[w + 48u]);
            let high =
                mat4x4(w_tile[w + 8u], w_tile[w + 24u], w_tile[w + 40u], w_tile[w + 56u]);
            for (var j = 0u; j < TILE; j++) {
                let u = dy_tile[(k * TILE + j) * 8u + lane / 8u];
                a[j] += low * u;
                b[j] += high * u;
            }
        }
        workgroupBarrier();
    }
    for (var j = 0u; j < TILE; j++) {
        put(t + j, c, a[j]);
        put(t + j, c + 8u, b[j]);
    }
}

// Four values of one row; rows are padded, so that there is room for all four.
fn put(t: u32, c: u32, value: vec4<f32>) {
    if t >= params.rows || c >= params.dx_stride {
        return;
    }
    let at = (params.row + t) * params.dx_stride + c;
    if ADD {
        dx[at] += value;
    } else {
        dx[at] = value;
    }
}
