// Slot `activation`: functions of one value, built on exp, since WGSL does not specify the
// accuracy of tanh and has no erf.

// Which one: 0 the value itself, 1 GELU in its tanh form, 2 GELU, 3 SiLU.
override ACTIVATION: u32 = 0u;

fn activate4(x: vec4<f32>) -> vec4<f32> {
    switch ACTIVATION {
        case 1u: { return gelu_tanh4(x); }
        case 2u: { return gelu4(x); }
        case 3u: { return silu4(x); }
        default: { return x; }
    }
}

// The derivative.
fn slope4(x: vec4<f32>) -> vec4<f32> {
    switch ACTIVATION {
        case 1u: { return gelu_tanh_slope4(x); }
        case 2u: { return gelu_slope4(x); }
        case 3u: { return silu_slope4(x); }
        default: { return vec4(1.0); }
    }
}

// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's form: Hendrycks and Gimpel 2016.
// tanh u = sign(u) (1 - e) / (1 + e), e = exp(-2|u|); for x < 0 the factor 1 + tanh u would cancel;
// there it is 2 e / (1 + e).
fn gelu_tanh4(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * one_plus_tanh4(x);
}

fn one_plus_tanh4(x: vec4<f32>) -> vec4<f32> {
    let u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    let e = exp(-2.0 * min(abs(u), vec4(60.0)));
    return select(2.0 / (1.0 + e), 2.0 * e / (1.0 + e), u < vec4(0.0));
}

// With h = 1 + tanh u: h/2 + x/2 h (2 - h) u', since 1 - tanh^2 = h (2 - h).
fn gelu_tanh_slope4(x: vec4<f32>) -> vec4<f32> {
    let h = one_plus_tanh4(x);
    let rise = 0.7978845608028654 * (1.0 + 0.134145 * x * x);
    return 0.5 * h + 0.5 * x * h * (2.0 - h) * rise;
}

// x/2 (1 + erf(x / sqrt(2))) = x/2 erfc(-x / sqrt(2)).  For z >= 0 erfc(z) = exp(-z^2) t q(t) with
// t = 1 / (1 + 0.3 z), and q a polynomial fitted to a relative error of 4e-8 for all z.
fn gelu4(x: vec4<f32>) -> vec4<f32> {
    return 0.5 * x * erfc_of_minus4(x);
}

// erfc(-x / sqrt(2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi).
fn gelu_slope4(x: vec4<f32>) -> vec4<f32> {
    let density = 0.3989422804014327 * exp(-min(0.5 * x * x, vec4(120.0)));
    return 0.5 * erfc_of_minus4(x) + x * density;
}

// erfc(-x / sqrt(2)).
fn erfc_of_minus4(x: vec4<f32>) -> vec4<f32> {
    let z = 0.7071067811865476 * abs(x);
    let t = 1.0 / (1.0 + 0.3 * z);
    var q = 0.471827167 - 0.126616794 * t;
    q = -0.484693499 + t * q;
    q = 0.517050504 + t * q;
    q = -0.0740501254 + t * q;
    q = 0.206385518 + t * q;
    q = 0.150468787 + t * q;
    q = 0.170423729 + t * q;
    q = 0.169204753 + t * q;
    let erfc = exp(-min(z * z, vec4(120.0))) * t * q;
    return select(2.0 - erfc, erfc, x < vec4(0.0));
}

// x / (1 + exp(-x)).
fn silu4(x: vec4<f32>) -> vec4<f32> {
    return x * sigmoid4(x);
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-min(abs(x), vec4(120.0)));
    return select(1.0 / (1.0 + e), e / (1.0 + e), x < vec4(0.0));
}

// s + x s (1 - s), s = 1 / (1 + exp(-x)); 1 - s is s at -x.
fn silu_slope4(x: vec4<f32>) -> vec4<f32> {
    return sigmoid4(x) * (1.0 + x * sigmoid4(-x));
}
