// linear_backward_w_tiled: dW = dW + dy^T x, of y = x W^T, through workgroup memory.
//
//   dy   (T, N)
//   x    (T, C)
//   out  (N, C)     the gradient; rows `first` .. of the matrix, as many as this part holds
//        (S, N, C)  where SPLIT is true: one sum per share of the rows, for add_shares
//
// A workgroup makes 64 x 64 values of its share of the rows, an invocation 8 x 8. Step by step it
// fetches 64 columns of 32 rows of dy and of x, neighbors fetching neighboring words, and uses
// each value 64 times. The rows are split into shares, since a small matrix may have many rows.
// Grid: (C / 64, N / 64, S).
struct Params {
    words: u32,
    dy_stride: u32,
    x_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    columns: u32,
    share: u32,
}

override SPLIT: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

// (32 rows, 16 vec4s of columns).
var<workgroup> dy_tile: array<vec4<f32>, 512>;
var<workgroup> x_tile: array<vec4<f32>, 512>;

@compute @workgroup_size(64)
fn linear_backward_w_tiled(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // The vec4s of an invocation are eight apart, with those of its neighbors between them.
    let n = group.y * 16u + lane / 8u;
    let c = group.x * 16u + lane % 8u;
    var low: array<mat4x4<f32>, 2>;
    var high: array<mat4x4<f32>, 2>;
    let end = min((group.z + 1u) * params.share, params.rows);
    for (var first = group.z * params.share; first < end; first += 32u) {
        for (var i = lane; i < 512u; i += 64u) {
            let row = first + i / 16u;
            let inside = row < end;
            let last = min(row, end - 1u);
            let dy_four = min(params.first / 4u + group.y * 16u + i % 16u, params.dy_stride - 1u);
            let x_four = min(group.x * 16u + i % 16u, params.x_stride - 1u);
            dy_tile[i] = select(vec4(0.0), dy[last * params.dy_stride + dy_four], inside);
            x_tile[i] = select(vec4(0.0), x[last * params.x_stride + x_four], inside);
        }
        workgroupBarrier();
        for (var k = 0u; k < 512u; k += 16u) {
            let u = dy_tile[k + lane / 8u];
            let v = dy_tile[k + lane / 8u + 8u];
            let a = x_tile[k + lane % 8u];
            let b = x_tile[k + lane % 8u + 8u];
            low[0] += outer(a, u);
            low[1] += outer(b, u);
            high[0] += outer(a, v);
            high[1] += outer(b, v);
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        for (var half = 0u; half < 2u; half++) {
            put(group.z, n * 4u + i, c + half * 8u, low[half][i]);
            put(group.z, n * 4u + 32u + i, c + half * 8u, high[half][i]);
        }
    }
}

// Column j is a times the j-th value of u.
fn outer(a: vec4<f32>, u: vec4<f32>) -> mat4x4<f32> {
    return mat4x4(a * u.x, a * u.y, a * u.z, a * u.w);
}

// Four values of one row of the gradient; zeros for its padding.
fn put(share: u32, n: u32, c: u32, sums: vec4<f32>) {
    if n >= params.count || c >= params.words {
        return;
    }
    let columns = vec4(c * 4u) + vec4(0u, 1u, 2u, 3u);
    let value = select(vec4(0.0), sums, columns < vec4(params.columns));
    if SPLIT {
        out[(share * params.count + n) * params.words + c] = value;
    } else {
        out[n * params.words + c] += value;
    }
}
