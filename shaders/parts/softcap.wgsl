// Slot `softcap`: the soft cap of attention scores or logits, built on exp, since WGSL does not
// specify the accuracy of tanh.
override SOFTCAP: f32 = 0.0;

// s = SOFTCAP tanh(s / SOFTCAP), Gemma 2; s itself if SOFTCAP is 0.
// tanh u = sign(u) (1 - e) / (1 + e), e = exp(-2|u|); near 0 this cancels, and a series is used.
fn softcap4(scores: vec4<f32>) -> vec4<f32> {
    if SOFTCAP == 0.0 {
        return scores;
    }
    let u = scores / SOFTCAP;
    let e = exp(-2.0 * min(abs(u), vec4(60.0)));
    let u2 = u * u;
    let tail = u2 * (-1.0 / 3.0 + u2 * (2.0 / 15.0 + u2 * (-17.0 / 315.0 + u2 * (62.0 / 2835.0))));
    let far = sign(u) * (1.0 - e) / (1.0 + e);
    let capped = select(far, u + u * tail, abs(u) < vec4(0.3));
    // min and sign may lose a NaN, which then would be a plausible score.
    let nan = (bitcast<vec4<u32>>(u) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
    return SOFTCAP * select(capped, u, nan);
}

// The derivative, from the capped value: 1 - (s / SOFTCAP)^2.
fn softcap_slope4(capped: vec4<f32>) -> vec4<f32> {
    if SOFTCAP == 0.0 {
        return vec4(1.0);
    }
    let u = capped / SOFTCAP;
    return (1.0 - u) * (1.0 + u);
}
