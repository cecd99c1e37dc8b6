// scale_add: x = scale x + add, where an edit of a hook's value acts.
//
//   rows  (T)             token, position, sequence, step
//   add   (P, H, W)       or fewer, with a distance of 0: the same for each position, head, column
//   x     (T, H W) or (H T, W)
//
// With a scale of 0 the old value is ignored, even a NaN. One invocation makes one value.
// Grid: (H W / 64, T) or (W / 64, H T).
// parts: region

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> add: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn scale_add(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x / params.columns;
    let column = id.x % params.columns;
    let row = rows[(params.row + id.y) % params.rows];
    if head >= params.heads || !changes(row) {
        return;
    }
    let at = head_at(id.y, head) + column * params.step;
    var value = add[operand_at(row, id.y, head) + column * params.operand_column];
    if params.scale != 0.0 {
        value += params.scale * x[at];
    }
    x[at] = value;
}
