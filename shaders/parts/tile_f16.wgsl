// Slot `tile`: values are in workgroup memory as f16; four products are made and summed in f16, and
// these sums of four are summed in f32.
//
// x is divided by 16, since it may have a few large values, unlike weights. So four products may
// reach a million before they overflow, and small ones lose less than a millionth. Values beyond
// the range become infinite, which shows in the logits.
alias Four = vec4<f16>;
alias Fours = mat4x4<f16>;

const RANGE = vec4(65504.0);

fn narrow_w(value: vec4<f32>) -> Four {
    // How values out of range are converted is up to the device, so they are made to overflow. The
    // bits are tested, since compilers may assume that nothing is infinite or NaN.
    let beyond = (bitcast<vec4<u32>>(value) & vec4(0x7fffffffu)) >= vec4(0x477ff000u);
    let factor = vec4<f16>(select(vec4(1.0), RANGE, beyond));
    return vec4<f16>(clamp(value, -RANGE, RANGE)) * factor;
}

fn narrow_x(value: vec4<f32>) -> Four {
    return narrow_w(value / 16.0);
}

fn multiply(value: Four, columns: Fours) -> vec4<f32> {
    return 16.0 * vec4<f32>(value * columns);
}
