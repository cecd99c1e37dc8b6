// Slot `tile`: values lie in workgroup memory as halves, clamped to their range; four products are
// made and summed as such, and these sums of four are summed as f32.
//
// x is taken as a sixteenth of itself, since a few of its values may be large, as weights are not:
// so four products may come to a million before they overflow, and what is lost of small ones lies
// below a millionth.
alias Four = vec4<f16>;
alias Fours = mat4x4<f16>;

const RANGE = vec4(65504.0);

fn narrow_w(value: vec4<f32>) -> Four {
    return vec4<f16>(clamp(value, -RANGE, RANGE));
}

fn narrow_x(value: vec4<f32>) -> Four {
    return vec4<f16>(clamp(value / 16.0, -RANGE, RANGE));
}

fn multiply(value: Four, columns: Fours) -> vec4<f32> {
    return 16.0 * vec4<f32>(value * columns);
}
