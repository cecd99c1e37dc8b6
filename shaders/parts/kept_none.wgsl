// Slot `kept`: what is added to the residual stream goes nowhere else.

fn keep4(at: u32, value: vec4<f32>) {
}
