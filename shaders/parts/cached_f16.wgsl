// Slot `cached`: reads what `cache_f16` wrote, four values at a time.
@group(3) @binding(0) var<storage, read> cache_k: array<vec2<u32>>;
@group(3) @binding(1) var<storage, read> cache_v: array<vec2<u32>>;

fn read_k(at: u32) -> vec4<f32> {
    let word = cache_k[at];
    return vec4(unpack2x16float(word.x), unpack2x16float(word.y));
}

fn read_v(at: u32) -> vec4<f32> {
    let word = cache_v[at];
    return vec4(unpack2x16float(word.x), unpack2x16float(word.y));
}
