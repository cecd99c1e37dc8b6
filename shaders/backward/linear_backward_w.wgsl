// linear_backward_w: dW = dW + dy^T x, of y = x W^T.
//
//   dy        (T, N)
//   x         (T, C)
//   gradient  (N, C)  rows `first` .. of the matrix, as many as this part holds; padding stays 0
//
// An invocation makes 8 x 8 values straight from storage, as a sum of outer products over the rows,
// four at a time: 16 loads for 256 multiply-adds. Grid: (C / 8 / WG_N, N / 8 / WG_T).
struct Params {
    words: u32,
    dy_stride: u32,
    x_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    columns: u32,
}

override WG_N: u32 = 8u;
override WG_T: u32 = 4u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gradient: array<vec4<f32>>;

@compute @workgroup_size(WG_N, WG_T)
fn linear_backward_w(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = id.x * 2u;
    let n = id.y * 8u;
    if c * 4u >= params.columns || n >= params.count {
        return;
    }
    var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
    var a4 = vec4(0.0); var a5 = vec4(0.0); var a6 = vec4(0.0); var a7 = vec4(0.0);
    var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
    var b4 = vec4(0.0); var b5 = vec4(0.0); var b6 = vec4(0.0); var b7 = vec4(0.0);
    var above = (params.first + n) / 4u;
    var at = c;
    // Four rows at a time, since on some adapters every iteration of the loop copies all sums.
    // Rows past the end repeat the last one, and are weighted by zero.
    // The grid is one deep, so that id.z is 0: see matmul.
    for (var t = id.z; t < params.rows; t += 4u) {
        let left = min(vec4(0u, 1u, 2u, 3u), vec4(params.rows - 1u - t));
        let counts = vec4<f32>(vec4(t) + vec4(0u, 1u, 2u, 3u) < vec4(params.rows));
        let i = vec4(above) + left * params.dy_stride;
        let j = i + 1u;
        let u = transpose(mat4x4(dy[i.x], dy[i.y], dy[i.z], dy[i.w]));
        let v = transpose(mat4x4(dy[j.x], dy[j.y], dy[j.z], dy[j.w]));
        let k = vec4(at) + left * params.x_stride;
        let a = mat4x4(
            x[k.x] * counts.x,
            x[k.y] * counts.y,
            x[k.z] * counts.z,
            x[k.w] * counts.w,
        );
        let b = mat4x4(
            x[k.x + 1u] * counts.x,
            x[k.y + 1u] * counts.y,
            x[k.z + 1u] * counts.z,
            x[k.w + 1u] * counts.w,
        );
        above += 4u * params.dy_stride;
        at += 4u * params.x_stride;
        a0 += a * u[0]; b0 += b * u[0];
        a1 += a * u[1]; b1 += b * u[1];
        a2 += a * u[2]; b2 += b * u[2];
        a3 += a * u[3]; b3 += b * u[3];
        a4 += a * v[0]; b4 += b * v[0];
        a5 += a * v[1]; b5 += b * v[1];
        a6 += a * v[2]; b6 += b * v[2];
        a7 += a * v[3]; b7 += b * v[3];
    }
    add_row(n, c, a0, b0);
    add_row(n + 1u, c, a1, b1);
    add_row(n + 2u, c, a2, b2);
    add_row(n + 3u, c, a3, b3);
    add_row(n + 4u, c, a4, b4);
    add_row(n + 5u, c, a5, b5);
    add_row(n + 6u, c, a6, b6);
    add_row(n + 7u, c, a7, b7);
}

// Four sums; zeros for the padding, whatever is left there in x.
fn inside(c: u32, sums: vec4<f32>) -> vec4<f32> {
    let columns = vec4(c * 4u) + vec4(0u, 1u, 2u, 3u);
    return select(vec4(0.0), sums, columns < vec4(params.columns));
}

fn add_row(n: u32, c: u32, a: vec4<f32>, b: vec4<f32>) {
    if n < params.count {
        let at = n * params.words + c;
        gradient[at] += inside(c, a);
        gradient[at + 1u] += inside(c + 1u, b);
    }
}
