// Slot `store`: out = value, with a bias, an activation or a soft cap, or added to what is
// there.
// parts: activation, softcap, kept
override BIAS: bool = false;
override ADD: bool = false;

@group(2) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4<f32>>;

// Four outputs of one row; `column` counts in vec4s, `stride` is the row's length in vec4s.
fn store4(row: u32, column: u32, stride: u32, value: vec4<f32>) {
    var result = value;
    if BIAS {
        result += bias[column];
    }
    result = activate4(result);
    result = softcap4(result);
    let at = row * stride + column;
    if ADD {
        result += out[at];
    }
    out[at] = result;
    keep4(at, result);
}
