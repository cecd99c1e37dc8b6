// clear_padding: the padding of each row becomes zero.
//
//   x  (T, C)  in place; its C values stay
//
// For products over rows that another tensor may have lain in before: zero times what is left there
// would be NaN if that is. One invocation per row. Grid: (T / 64).
struct Params { rows: u32, columns: u32, stride: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(64)
fn clear_padding(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (group.x + group.y * 65535u) * 64u + lane;
    if row >= params.rows {
        return;
    }
    for (var i = params.columns; i < params.stride; i++) {
        x[row * params.stride + i] = 0.0;
    }
}
