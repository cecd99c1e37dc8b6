// Slot `cache`: keys and values as f16, (sequence, head, position, width padded to vec4s).
@group(3) @binding(0) var<storage, read_write> cache_k: array<vec2<u32>>;
@group(3) @binding(1) var<storage, read_write> cache_v: array<vec2<u32>>;

// What would round past 65504, the largest f16, is stored as NaN, and so are infinities. What
// pack2x16float makes of them is up to the device; clamped they would be wrong in silence; and an
// infinite key may get a weight of zero, which is as silent. NaN reaches whatever uses it.
fn pack4(value: vec4<f32>) -> vec2<u32> {
    // Compilers may assume that nothing is infinite or NaN, so the bits are tested.
    let beyond = (bitcast<vec4<u32>>(value) & vec4(0x7fffffffu)) >= vec4(0x477ff000u);
    let nan = select(vec4(0u), vec4(0x7e00u), beyond);
    let safe = clamp(value, vec4(-65504.0), vec4(65504.0));
    let packed = vec2(pack2x16float(safe.xy), pack2x16float(safe.zw));
    return packed | nan.xz | (nan.yw << vec2(16u));
}

fn write_k(at: u32, value: vec4<f32>) {
    cache_k[at] = pack4(value);
}

fn write_v(at: u32, value: vec4<f32>) {
    cache_v[at] = pack4(value);
}
