// project: x = x - (x . d) d, where an edit of a hook's value acts: takes a direction out.
//
//   rows       (T)        token, position, sequence, step
//   direction  (P, H, W)  or fewer, with a distance of 0; each head's values have the norm 1
//   x          (T, H W) or (H T, W)
//
// One workgroup per row and head. Grid: (H, T) or (1, H T).
// parts: region, reduce

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> direction: array<f32>;
@group(0) @binding(3) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(WG)
fn project(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = rows[(params.row + group.y) % params.rows];
    let acts = changes(row);
    let base = head_at(group.y, group.x);
    let own = select(0u, operand_at(row, group.y, group.x), acts);
    var along = 0.0;
    for (var i = lane; i < params.columns; i += WG) {
        along += x[base + i * params.step] * direction[own + i * params.operand_column];
    }
    let length = sum_workgroup(along, lane);
    if !acts {
        return;
    }
    for (var i = lane; i < params.columns; i += WG) {
        x[base + i * params.step] -= length * direction[own + i * params.operand_column];
    }
}
