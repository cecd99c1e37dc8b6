// Slot `store`: the rows are queries, keys and values; queries are written, keys and values go into
// the cache at each row's own position. For models without rotation.
// parts: cache
override BIAS: bool = false;
// Fours of all queries, and of all keys, of a position; and of one head.
override QUERY_FOURS: u32 = 192u;
override KEY_FOURS: u32 = 192u;
override HEAD_FOURS: u32 = 16u;
// Positions of a sequence.
override CONTEXT: u32 = 1024u;

@group(2) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@group(2) @binding(2) var<storage, read> positions: array<vec4<u32>>;

// Four outputs of one row; `column` counts in fours, `stride` is the row's length in fours.
fn store4(row: u32, column: u32, stride: u32, value: vec4<f32>) {
    var result = value;
    if BIAS {
        result += bias[column];
    }
    if column < QUERY_FOURS {
        out[row * stride + column] = result;
        return;
    }
    let key = (column - QUERY_FOURS) % KEY_FOURS;
    let head = positions[row].z * (KEY_FOURS / HEAD_FOURS) + key / HEAD_FOURS;
    let at = (head * CONTEXT + positions[row].y) * HEAD_FOURS + key % HEAD_FOURS;
    if column < QUERY_FOURS + KEY_FOURS {
        write_k(at, result);
    } else if column < QUERY_FOURS + 2u * KEY_FOURS {
        write_v(at, result);
    }
}
