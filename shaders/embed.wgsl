// embed: x_t = s E[token_t] (+ P[position_t]).  Phuong and Hutter 2022, algorithms 1 and 2.
//
//   rows       (T)     token, position, sequence, step of each row
//   positions  (P, C)  learned position vectors, f32; unused if LEARNED is false
//   weights    (V, C)  the rows first .. first + count of the table
//   out        (T, C)  written only where the token lies in this part of the table
//
// One invocation per word of the row. Grid: (words / 64, T).
// parts: weight
struct Params { words: u32, stride: u32, first: u32, count: u32 }

override LEARNED: bool = false;
// s; 1 in most families.
override SCALE: f32 = 1.0;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> positions: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn embed(@builtin(global_invocation_id) id: vec3<u32>) {
    let word = id.x;
    let row = rows[id.y];
    let token = row.x - params.first;
    if word >= params.words || token >= params.count {
        return;
    }
    let values = load_word(token, word);
    for (var four = 0u; four < WORD / 4u; four++) {
        let column = word * (WORD / 4u) + four;
        if column < params.stride {
            var value = SCALE * word4(values, four);
            if LEARNED {
                value += positions[row.y * params.stride + column];
            }
            out[id.y * params.stride + column] = value;
        }
    }
}
