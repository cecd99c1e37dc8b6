// attention_merge: merges the partial results of attention_split:
//   z = sum_s e^(m_s - m) o_s / sum_s e^(m_s - m) l_s, m the largest m_s
//
//   rows     (T)          token, position, sequence, step
//   partial  (T H S, 4 VEC4S + 4)  per row, head and split: o_s, then l_s and m_s
//   z        (T, H D)
//
// One invocation makes four values of a head. Grid: (H VEC4S / 64, T).
struct Params { heads: u32, width: u32, stride: u32, splits: u32 }

override CHUNK: u32 = 64u;
override VEC4S: u32 = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> partial: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> z: array<f32>;

@compute @workgroup_size(64)
fn attention_merge(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / VEC4S;
    let four = id.x % VEC4S;
    if head >= params.heads {
        return;
    }
    let splits = rows[id.y].y / CHUNK + 1u;
    let base = (id.y * params.heads + head) * params.splits;
    var largest = -1e30;
    var sum = vec4(0.0);
    var mass = 0.0;
    for (var s = 0u; s < splits; s++) {
        let at = (base + s) * (VEC4S + 1u);
        let tail = partial[at + VEC4S];
        let above = max(largest, tail.y);
        let fade = exp(largest - above);
        let weight = exp(tail.y - above);
        sum = sum * fade + weight * partial[at + four];
        mass = mass * fade + weight * tail.x;
        largest = above;
    }
    let value = sum / mass;
    let at = id.y * params.stride + head * params.width + four * 4u;
    for (var j = 0u; j < min(4u, params.width - four * 4u); j++) {
        z[at + j] = value[j];
    }
}
