// Slot `tile`: values are in workgroup memory as f32.
alias Four = vec4<f32>;
alias Fours = mat4x4<f32>;

fn narrow_w(value: vec4<f32>) -> Four {
    return value;
}

fn narrow_x(value: vec4<f32>) -> Four {
    return value;
}

fn multiply(value: Four, columns: Fours) -> vec4<f32> {
    return value * columns;
}
