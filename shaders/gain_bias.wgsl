// gain_bias: y = x * gain + bias: the last step of both norms on its own.
//
//   x, out  (T, C)
//   gain    (C)
//   bias    (C)    unused if BIAS is false
//
// One invocation makes four values. Grid: (C / 4 / 64, T).
struct Params { stride: u32 }

override BIAS: bool = true;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gain: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn gain_bias(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.stride {
        return;
    }
    let at = id.y * params.stride + id.x;
    var value = x[at] * gain[id.x];
    if BIAS {
        value += bias[id.x];
    }
    out[at] = value;
}
