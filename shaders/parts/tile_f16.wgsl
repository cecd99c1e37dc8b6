// Slot `tile`: values lie in workgroup memory as halves, clamped to their range; four products are
// made and summed as such, and these sums of four are summed as f32.
alias Four = vec4<f16>;
alias Fours = mat4x4<f16>;

fn narrow(value: vec4<f32>) -> Four {
    return vec4<f16>(clamp(value, vec4(-65504.0), vec4(65504.0)));
}

fn multiply(value: Four, columns: Fours) -> vec4<f32> {
    return vec4<f32>(value * columns);
}
