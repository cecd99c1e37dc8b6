// gated_backward: of y = f(gate) up, dgate = dy up f'(gate) and dup = dy f(gate).
//
//   both   (T, 2F)  gate and up alternate
//   dy     (T, F)
//   dboth  (T, 2F)  their gradients, which alternate too
//
// One invocation makes two values of each. Grid: (2F / 4 / 64, T).
// parts: activation
struct Params { vec4s: u32, stride: u32, dy_stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> both: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> dboth: array<vec4<f32>>;

@compute @workgroup_size(64)
fn gated_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.vec4s {
        return;
    }
    let at = id.y * params.stride + id.x;
    let back = dy[id.y * params.dy_stride + id.x];
    let gate = both[at].xxzz;
    let up = both[at].yyww;
    let value = activate4(gate);
    let slope = slope4(gate);
    dboth[at] = vec4(
        back.x * up.x * slope.x,
        back.x * value.x,
        back.y * up.z * slope.z,
        back.y * value.z,
    );
}
