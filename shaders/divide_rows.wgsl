// divide_rows: y_t = x_t / s_t: the third step of both norms on its own.
//
//   x, out  (T, C)
//   scale   (T, 1)
//
// One invocation makes four values. Grid: (C / 4 / 64, T).
struct Params { stride: u32, scale_stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn divide_rows(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.stride {
        let at = id.y * params.stride + id.x;
        out[at] = x[at] / scale[id.y * params.scale_stride];
    }
}
