// attention_result: each head's own write to the residual stream: z times its columns of W_O.
//
//   z        (T, H D)
//   weights  (C, H D)  rows `first` .. of the output projection, as many as this part holds
//   out      (T, H C)
//
// One invocation per row, head and output; it walks the words that hold the head's columns; the
// first and the last word may hold columns of neighboring heads too. Grid: (C / 64, T, H).
// parts: weight
struct Params {
    words: u32,
    z_stride: u32,
    out_stride: u32,
    head_width: u32,
    columns: u32,
    count: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn attention_result(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.count {
        return;
    }
    let start = vec4(id.z * params.head_width);
    let end = start + params.head_width;
    var sum = 0.0;
    for (var word = start.x / WORD; word * WORD < end.x; word++) {
        let values = load_word(id.x, word);
        for (var four = 0u; four < WORD / 4u; four++) {
            let column = vec4(word * WORD + four * 4u) + vec4(0u, 1u, 2u, 3u);
            if column.x < end.x && column.w >= start.x {
                let own = (column >= start) & (column < end);
                let z4 = z[id.y * params.z_stride + column.x / 4u];
                sum += dot(word4(values, four), select(vec4(0.0), z4, own));
            }
        }
    }
    out[id.y * params.out_stride + id.z * params.columns + params.first + id.x] = sum;
}
