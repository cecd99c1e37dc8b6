// ceiling_read: out_i = the sum of LOADS * 4 values of x, measures memory bandwidth.
//
//   x    (G, LOADS, WG, 4)  G workgroups; neighboring invocations load neighboring 16-byte words
//   out  (G, WG)            written so that no compiler can drop the loads
//
// Grid: (G), spread over x and y.
struct Params { groups: u32 }

override WG: u32 = 256u;
override LOADS: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn ceiling_read(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = id.x + id.y * 65535u;
    if group >= params.groups {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var load = 0u; load < LOADS; load++) {
        sum += x[(group * LOADS + load) * WG + lane];
    }
    out[group * WG + lane] = dot(sum, vec4(1.0));
}
