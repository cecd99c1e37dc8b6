// pos_embed: out_t = P[position_t].  Unfused: used where a hook asks for either embedding.
//
//   rows       (T)     token, position, sequence, step of each row
//   positions  (P, C)  learned position vectors
//   out        (T, C)
//
// One invocation makes four values. Grid: (C / 4 / 64, T).
struct Params { stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> positions: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn pos_embed(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.stride {
        out[id.y * params.stride + id.x] = positions[rows[id.y].y * params.stride + id.x];
    }
}
