// Slot `activation`: gelu and silu built on exp, since WGSL leaves the accuracy of tanh open.

// gelu(x) = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form: Hendrycks and Gimpel 2016.
// tanh u = sign(u) (1 - e) / (1 + e), e = exp(-2|u|); for x < 0 the factor 1 + tanh u would cancel:
// it is 2 e / (1 + e) there.
fn gelu4(x: vec4<f32>) -> vec4<f32> {
    let u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    let e = exp(-2.0 * min(abs(u), vec4(60.0)));
    let factor = select(2.0 / (1.0 + e), 2.0 * e / (1.0 + e), u < vec4(0.0));
    return 0.5 * x * factor;
}

// silu(x) = x / (1 + exp(-x)).
fn silu4(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-min(abs(x), vec4(120.0)));
    return x * select(1.0 / (1.0 + e), e / (1.0 + e), x < vec4(0.0));
}
