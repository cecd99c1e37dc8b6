// activate: out = f(x), value by value, f from the slot `activation`.  Unfused: used where a hook
// asks for x.
//
//   x, out  (T, F)
//
// One invocation makes four values. Grid: (T F / 4 / 64).
// parts: activation
struct Params { vec4s: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn activate(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i < params.vec4s {
        out[i] = activate4(x[i]);
    }
}
