// Slot `store`: the rows are queries, keys and values; queries are written out, keys and values go
// into the cache at each row's own position. For models without rotation.
// parts: cache
override BIAS: bool = false;
// vec4s of all queries, of all keys, of one position; and of one head.
override QUERY_VEC4S: u32 = 192u;
override KEY_VEC4S: u32 = 192u;
override HEAD_VEC4S: u32 = 16u;
// Positions of a sequence.
override CONTEXT: u32 = 1024u;

@group(2) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(2) @binding(2) var<storage, read> positions: array<vec4<u32>>;

// Four outputs of one row; `column` counts in vec4s, `stride` is the row's length in vec4s.
fn store4(row: u32, column: u32, stride: u32, value: vec4<f32>) {
    var result = value;
    if BIAS {
        result += bias[column];
    }
    if column < QUERY_VEC4S {
        out[row * stride + column] = result;
        return;
    }
    let key = (column - QUERY_VEC4S) % KEY_VEC4S;
    let head = positions[row].z * (KEY_VEC4S / HEAD_VEC4S) + key / HEAD_VEC4S;
    let at = (head * CONTEXT + positions[row].y) * HEAD_VEC4S + key % HEAD_VEC4S;
    if column < QUERY_VEC4S + KEY_VEC4S {
        write_k(at, result);
    } else if column < QUERY_VEC4S + 2u * KEY_VEC4S {
        write_v(at, result);
    }
}
