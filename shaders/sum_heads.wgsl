// sum_heads: what attention adds to the residual stream, as a sum over the results of its heads.
//
//   x     (T, H C)
//   bias  (C)       of the output projection; unused if BIAS is false
//   out   (T, C)
//
// One invocation makes one value. Grid: (C / 64, T).
struct Params { heads: u32, columns: u32, x_stride: u32, out_stride: u32 }

override BIAS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn sum_heads(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns {
        return;
    }
    var sum = 0.0;
    for (var head = 0u; head < params.heads; head++) {
        sum += x[id.y * params.x_stride + head * params.columns + id.x];
    }
    if BIAS {
        sum += bias[id.x];
    }
    out[id.y * params.out_stride + id.x] = sum;
}
