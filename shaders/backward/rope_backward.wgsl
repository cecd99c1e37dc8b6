// rope_backward: rotates the gradients of queries and keys back, and joins them with the gradient
// of the values. For the pair (i, i + R/2) at position p:
//   dx_i         = A (dy_i cos(p f_i) + dy_(i + R/2) sin(p f_i))
//   dx_(i + R/2) = A (dy_(i + R/2) cos(p f_i) - dy_i sin(p f_i))
// With R = 0 nothing is rotated.
//
//   rows    (T)         token, position, sequence, step
//   dq      (T, H D)
//   dk, dv  (T, K D)
//   table   (256 + P/256, R/2)  as for rope; unused if R = 0
//   out     (T, (H + 2K) D)     queries, keys and values side by side
//
// One invocation makes one value. Grid: ((H + 2K) D / 64, T).
struct Params {
    queries: u32,
    keys: u32,
    width: u32,
    rotated: u32,
    q_stride: u32,
    k_stride: u32,
    out_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> dq: array<f32>;
@group(0) @binding(3) var<storage, read> dk: array<f32>;
@group(0) @binding(4) var<storage, read> dv: array<f32>;
@group(0) @binding(5) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;

// cos and sin of the angle of pair i at a position, computed as in rope.
fn turn(position: u32, i: u32) -> vec2<f32> {
    let half = params.rotated / 2u;
    let fine = table[(position % 256u) * half + i];
    let coarse = table[(256u + position / 256u) * half + i];
    return vec2(coarse.x * fine.x - coarse.y * fine.y, coarse.y * fine.x + coarse.x * fine.y);
}

// A value of dq or dk.
fn load(row: u32, column: u32) -> f32 {
    if column < params.queries {
        return dq[row * params.q_stride + column];
    }
    return dk[row * params.k_stride + column - params.queries];
}

@compute @workgroup_size(64)
fn rope_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let turning = params.queries + params.keys;
    if id.x >= turning + params.keys {
        return;
    }
    var value: f32;
    if id.x >= turning {
        value = dv[id.y * params.k_stride + id.x - turning];
    } else {
        value = load(id.y, id.x);
        let e = id.x % params.width;
        let half = params.rotated / 2u;
        if e < params.rotated {
            let first = e < half;
            let other = load(id.y, select(id.x - half, id.x + half, first));
            let t = turn(rows[id.y].y, e % half);
            value = value * t.x + select(-other, other, first) * t.y;
        }
    }
    out[id.y * params.out_stride + id.x] = value;
}
