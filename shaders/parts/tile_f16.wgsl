// Slot `tile`: values are in workgroup memory as f16, clamped to its range; four products are made
// and summed in f16, and these sums of four are summed in f32.
//
// x is divided by 16, since it may have a few large values, unlike weights. So four products may
// reach a million before they overflow, and small ones lose less than a millionth.
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
