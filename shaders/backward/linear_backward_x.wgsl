// linear_backward_x: dx = dy W, of y = x W^T, for many rows.
//
//   dy       (T, N)
//   weights  (N, C)  rows `first` .. of the matrix, as many as this part holds
//   dx       (.., C) rows `row` .. of it; added to where ADD is true
//
// An invocation makes 8 x 8 outputs straight from storage: for four of N it does 16 products of a
// 4 x 4 matrix and a column, so that each loaded value is used eight times.
// Grid: (C / 8 / WG_N, T / 8 / WG_T).
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

override WG_N: u32 = 8u;
override WG_T: u32 = 4u;
override ADD: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

// The vec4s of a word. c is even: vec4s c and c + 1 are in one word, or each in its own.
const VEC4S: u32 = WORD / 4u;

fn low(row: u32, c: u32) -> vec4<f32> {
    return word4(load_word(row, c / VEC4S), 0u);
}

fn high(row: u32, c: u32) -> vec4<f32> {
    return word4(load_word(row, (c + 1u) / VEC4S), 1u % VEC4S);
}

@compute @workgroup_size(WG_N, WG_T)
fn linear_backward_x(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = id.x * 2u;
    let t = id.y * 8u;
    if c * 4u >= params.columns || t >= params.rows {
        return;
    }
    // Rows past the end repeat the last one; their results are not stored.
    let last = params.rows - 1u;
    let column = params.first / 4u;
    let y0 = t * params.dy_stride + column;
    let y1 = min(t + 1u, last) * params.dy_stride + column;
    let y2 = min(t + 2u, last) * params.dy_stride + column;
    let y3 = min(t + 3u, last) * params.dy_stride + column;
    let y4 = min(t + 4u, last) * params.dy_stride + column;
    let y5 = min(t + 5u, last) * params.dy_stride + column;
    let y6 = min(t + 6u, last) * params.dy_stride + column;
    let y7 = min(t + 7u, last) * params.dy_stride + column;
    var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
    var a4 = vec4(0.0); var a5 = vec4(0.0); var a6 = vec4(0.0); var a7 = vec4(0.0);
    var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
    var b4 = vec4(0.0); var b5 = vec4(0.0); var b6 = vec4(0.0); var b7 = vec4(0.0);
    // The grid is one deep, so that id.z is 0: see matmul.
    for (var n = id.z; n < params.count / 4u; n++) {
        let r = n * 4u;
        let a = mat4x4(low(r, c), low(r + 1u, c), low(r + 2u, c), low(r + 3u, c));
        let b = mat4x4(high(r, c), high(r + 1u, c), high(r + 2u, c), high(r + 3u, c));
        var u = dy[y0 + n]; a0 += a * u; b0 += b * u;
        u = dy[y1 + n]; a1 += a * u; b1 += b * u;
        u = dy[y2 + n]; a2 += a * u; b2 += b * u;
        u = dy[y3 + n]; a3 += a * u; b3 += b * u;
        u = dy[y4 + n]; a4 += a * u; b4 += b * u;
        u = dy[y5 + n]; a5 += a * u; b5 += b * u;
        u = dy[y6 + n]; a6 += a * u; b6 += b * u;
        u = dy[y7 + n]; a7 += a * u; b7 += b * u;
    }
    // Outputs beyond the last whole vec4, one at a time: the rest of that vec4 is ignored.
    for (var n = params.count / 4u * 4u + id.z; n < params.count; n++) {
        let a = low(n, c);
        let b = high(n, c);
        let i = n / 4u;
        let j = n % 4u;
        var u = dy[y0 + i][j]; a0 += a * u; b0 += b * u;
        u = dy[y1 + i][j]; a1 += a * u; b1 += b * u;
        u = dy[y2 + i][j]; a2 += a * u; b2 += b * u;
        u = dy[y3 + i][j]; a3 += a * u; b3 += b * u;
        u = dy[y4 + i][j]; a4 += a * u; b4 += b * u;
        u = dy[y5 + i][j]; a5 += a * u; b5 += b * u;
        u = dy[y6 + i][j]; a6 += a * u; b6 += b * u;
        u = dy[y7 + i][j]; a7 += a * u; b7 += b * u;
    }
    store_row(t, c, a0, b0);
    store_row(t + 1u, c, a1, b1);
    store_row(t + 2u, c, a2, b2);
    store_row(t + 3u, c, a3, b3);
    store_row(t + 4u, c, a4, b4);
    store_row(t + 5u, c, a5, b5);
    store_row(t + 6u, c, a6, b6);
    store_row(t + 7u, c, a7, b7);
}

// Eight values of one row; a row is padded to a multiple of eight, so there is room for all.
fn store_row(t: u32, c: u32, a: vec4<f32>, b: vec4<f32>) {
    if t < params.rows {
        let at = (params.row + t) * params.dx_stride + c;
        if ADD {
            dx[at] += a;
            dx[at + 1u] += b;
        } else {
            dx[at] = a;
            dx[at + 1u] = b;
        }
    }
}
