// square_sum: partial sums of x^2.
//
//   x    (n)  vec4s of values
//   out       one sum per workgroup, from `slot` on
//
// A workgroup takes PER vec4s. Grid: (n / 4 / PER).
// parts: reduce
struct Params { vec4s: u32, slot: u32 }

// How many vec4s a workgroup takes.
override PER: u32 = 16384u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn square_sum(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let number = group.x + group.y * 65535u;
    let end = min(params.vec4s, (number + 1u) * PER);
    var sum = 0.0;
    for (var i = number * PER + lane; i < end; i += WG) {
        sum += dot(x[i], x[i]);
    }
    let all = sum_workgroup(sum, lane);
    if lane == 0u && number * PER < params.vec4s {
        out[params.slot + number] = all;
    }
}
