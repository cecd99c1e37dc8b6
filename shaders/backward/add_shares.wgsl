// add_shares: out = out + the sum of S arrays, one after another.
//
//   shares  (S, size)
//   out     (size)
//
// The order is fixed, so that the sum has the same bits on every run. Grid: (size / 4 / 64).
struct Params { vec4s: u32, shares: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> shares: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn add_shares(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i >= params.vec4s {
        return;
    }
    var sum = vec4(0.0);
    // The grid is one deep, so that group.z is 0: see matmul.
    for (var share = group.z; share < params.shares; share++) {
        sum += shares[share * params.vec4s + i];
    }
    out[i] += sum;
}
