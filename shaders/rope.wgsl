// rope: rotates queries and keys by their position, and writes keys and values to the cache.
// Su et al. 2021.  Pairs are (i, i + R/2) within the first R values of a head:
//   y_i         = A (x_i cos(p f_i) - x_(i + R/2) sin(p f_i))
//   y_(i + R/2) = A (x_(i + R/2) cos(p f_i) + x_i sin(p f_i))
// With R = 0 nothing is rotated, and only the cache is written.
//
//   rows    (T)               token, position, sequence, step
//   q, k, v (T, ..)           three matrices, each with its own first column and row length
//   table   (256 + P/256, R/2)  cos and sin of b f_i for b < 256, then of 256 a f_i, made in f64
//                             the first times the amplitude A, which is 1 without scaling
//   q_out   (T, H D)
//   cache   slots k and v, positions `first` .. of them; other rows write queries only
//
// One invocation makes four neighboring values of one head. WGSL does not specify the accuracy
// of sin and cos, so those of the angle p f = (256 a + b) f are computed from two small tables by
// the angle addition formulas.
// Grid: ((H + 2K) ceil(D/4) / 64, T).
// parts: cache
struct Params {
    heads: u32,
    kv_heads: u32,
    width: u32,
    rotated: u32,
    q_start: u32,
    q_stride: u32,
    k_start: u32,
    k_stride: u32,
    v_start: u32,
    v_stride: u32,
    out_stride: u32,
    context: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> q_out: array<f32>;

// cos and sin of the angle of pair i at a position.
fn turn(position: u32, i: u32) -> vec2<f32> {
    let half = params.rotated / 2u;
    let fine = table[(position % 256u) * half + i];
    let coarse = table[(256u + position / 256u) * half + i];
    return vec2(coarse.x * fine.x - coarse.y * fine.y, coarse.y * fine.x + coarse.x * fine.y);
}

// Value e of a rotated head; `own` is that value before, `other` its partner.
fn turned(position: u32, e: u32, own: f32, other: f32) -> f32 {
    let half = params.rotated / 2u;
    let t = turn(position, e % half);
    return own * t.x + select(other, -other, e < half) * t.y;
}

// The index of the partner of value e; values that are not rotated are their own partners.
fn partner(e: u32) -> u32 {
    let half = params.rotated / 2u;
    return select(select(e - half, e + half, e < half), e, e >= params.rotated);
}

@compute @workgroup_size(64)
fn rope(@builtin(global_invocation_id) id: vec3<u32>) {
    let vec4s = (params.width + 3u) / 4u;
    let head = id.x / vec4s;
    let first = id.x % vec4s * 4u;
    if head >= params.heads + 2u * params.kv_heads {
        return;
    }
    let row = rows[id.y];
    let position = row.y;
    var value = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
        let e = first + j;
        if e >= params.width {
            continue;
        }
        if head >= params.heads + params.kv_heads {
            let at = id.y * params.v_stride + params.v_start;
            value[j] = v[at + (head - params.heads - params.kv_heads) * params.width + e];
            continue;
        }
        var own = 0.0;
        var other = 0.0;
        if head < params.heads {
            let at = id.y * params.q_stride + params.q_start + head * params.width;
            own = q[at + e];
            other = q[at + partner(e)];
        } else {
            let at = id.y * params.k_stride + params.k_start + (head - params.heads) * params.width;
            own = k[at + e];
            other = k[at + partner(e)];
        }
        value[j] = own;
        if e < params.rotated {
            value[j] = turned(position, e, own, other);
        }
    }
    if head < params.heads {
        let at = id.y * params.out_stride + head * params.width + first;
        for (var j = 0u; j < min(4u, params.width - first); j++) {
            q_out[at + j] = value[j];
        }
        return;
    }
    let kv_head = (head - params.heads) % params.kv_heads;
    let place = position - params.first;
    if position < params.first || place >= params.context {
        return;
    }
    let slot = (row.z * params.kv_heads + kv_head) * params.context + place;
    let at = slot * vec4s + first / 4u;
    if head < params.heads + params.kv_heads {
        write_k(at, value);
    } else {
        write_v(at, value);
    }
}
