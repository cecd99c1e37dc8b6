// Slot `store`: the rows of gate and up alternate, so two neighbors make one output f(gate) up.
// parts: activation
override BIAS: bool = false;

@group(2) @binding(0) var<storage, read> bias: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read_write> out: array<vec2<f32>>;

// Four rows of gate|up, two outputs; `column` counts in vec4s, `stride` is a row's length in vec4s.
fn store4(row: u32, column: u32, stride: u32, value: vec4<f32>) {
    var pairs = value;
    if BIAS {
        pairs += bias[column];
    }
    out[row * stride * 2u + column] = activate4(pairs).xz * pairs.yw;
}
