// dropout: x = 0 with probability p, else x / (1 - p). Srivastava et al. 2014.
// The same kernel serves the forward and the backward pass.
//
//   x     (T, C)  in place
//   draw  (4)     seed, low half first, and step
//
// A value stays if 32 random bits, which depend only on seed, SITE, step and its index t C + c, are
// at least p 2^32. These are integers, so that every adapter drops the same values.
// One invocation makes four values. Grid: (C / 4 / 64, T).
// parts: noise
struct Params { columns: u32, stride: u32, site: u32, least: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> draw: array<vec4<u32>>;

@compute @workgroup_size(64)
fn dropout(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x * 4u >= params.columns {
        return;
    }
    let at = id.y * params.stride + id.x;
    let keys = draw_keys(vec4(draw[0].xy, params.site, draw[0].z));
    let places = vec4(id.y * params.columns + id.x * 4u) + vec4(0u, 1u, 2u, 3u);
    let stays = noise4(places, keys) >= vec4(params.least);
    x[at] = select(vec4(0.0), x[at] * params.scale, stays);
}
