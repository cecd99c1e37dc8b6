// scale_add: x = scale x + add, for some rows and columns of a hook's value: an edit.
//
//   add  (N, C)   or (1, C) with a stride of 0: the same for every row
//   x    (T, ..)  N rows from `row` on, C columns: start, start + step, ..
//
// With a scale of 0 the old value is ignored, even a NaN. One invocation makes one value.
// Grid: (C / 64, N).
struct Params {
    columns: u32,
    row: u32,
    start: u32,
    step: u32,
    x_stride: u32,
    add_stride: u32,
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> add: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn scale_add(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.columns {
        return;
    }
    let at = (params.row + id.y) * params.x_stride + params.start + id.x * params.step;
    var value = add[id.y * params.add_stride + id.x];
    if params.scale != 0.0 {
        value += params.scale * x[at];
    }
    x[at] = value;
}
