// add: out = out + x, value by value; the sum is passed to `kept`.  Unfused: used where a hook asks
// for x, which is added to the residual stream.
//
//   x, out  (T, C)
//
// One invocation makes four values. Grid: (T C / 4 / 64).
// parts: kept
struct Params { vec4s: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn add(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i < params.vec4s {
        out[i] += x[i];
        keep4(i, out[i]);
    }
}
