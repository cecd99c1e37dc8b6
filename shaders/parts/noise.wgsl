// Slot `noise`: random bits and Gumbel noise that depend only on (seed, sequence, step, id).

// A bijection of u32 in which every input bit flips every output bit about half the time.
// Source: the constants are Chris Wellons's `lowbias32` (public domain).
fn scramble(bits: vec4<u32>) -> vec4<u32> {
    var x = bits ^ (bits >> vec4(16u));
    x *= 0x7feb352du;
    x ^= x >> vec4(15u);
    x *= 0x846ca68bu;
    return x ^ (x >> vec4(16u));
}

// Two keys for a draw: its words (the halves of the seed, sequence, step), folded from two starts.
fn draw_keys(words: vec4<u32>) -> vec2<u32> {
    var keys = vec4(0x9e3779b9u, 0x7f4a7c15u, 0u, 0u);
    keys = scramble(keys ^ vec4(words.x));
    keys = scramble(keys ^ vec4(words.y));
    keys = scramble(keys ^ vec4(words.z));
    keys = scramble(keys ^ vec4(words.w));
    return keys.xy;
}

// 32 random bits for each id.
fn noise4(ids: vec4<u32>, keys: vec2<u32>) -> vec4<u32> {
    return scramble(scramble(ids ^ vec4(keys.x)) ^ vec4(keys.y));
}

// -ln x of x = m 2^e, 1/2 <= m < 1:  2 artanh((1 - m) / (1 + m)) - e ln 2.
// WGSL lets `log` be off by 2^-21 near 1, where u decides which token wins; 1 - m is exact, and no
// term cancels for x < 1.
fn minus_ln(x: vec4<f32>) -> vec4<f32> {
    let bits = bitcast<vec4<u32>>(x);
    // Subtracted as integers: some drivers turn (b - 126) ln 2 into a difference of two products,
    // which cancels.
    let e = vec4<f32>(vec4<i32>(bits >> vec4(23u)) - vec4(126));
    let m = bitcast<vec4<f32>>((bits & vec4(0x007fffffu)) | vec4(0x3f000000u));
    let z = (1.0 - m) / (1.0 + m);
    let s = z * z;
    // 1 / (2 n + 1) by Horner's scheme; s <= 1/9, so the next term is below half an ulp of f32.
    let tail = 1.0 / 9.0 + s * (1.0 / 11.0 + s * (1.0 / 13.0 + s * (1.0 / 15.0)));
    let series = 1.0 + s * (1.0 / 3.0 + s * (1.0 / 5.0 + s * (1.0 / 7.0 + s * tail)));
    return 2.0 * z * series - e * 0.6931471805599453;
}

// g = -ln(-ln u), u = an odd number of 24 bits over 2^24: exact, and never 0 or 1.
fn gumbel(ids: vec4<u32>, keys: vec2<u32>) -> vec4<f32> {
    let u = vec4<f32>((noise4(ids, keys) >> vec4(8u)) | vec4(1u)) / 16777216.0;
    return minus_ln(minus_ln(u));
}
