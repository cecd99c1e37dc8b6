// Slot `kept`: the sum is written a second time, for a reader: the stream itself changes again.
@group(3) @binding(0) var<storage, read_write> kept: array<vec4<f32>>;

// Four values; `at` counts the vec4s before them, in the stream as in its copy.
fn keep4(at: u32, value: vec4<f32>) {
    kept[at] = value;
}
