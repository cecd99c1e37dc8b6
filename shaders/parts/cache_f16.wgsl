// Slot `cache`: keys and values as f16, (sequence, head, position, width padded to vec4s).
@group(3) @binding(0) var<storage, read_write> cache_k: array<vec2<u32>>;
@group(3) @binding(1) var<storage, read_write> cache_v: array<vec2<u32>>;

// The largest f16 is 65504; beyond it a key would become infinite, and the whole row NaN.
fn pack4(value: vec4<f32>) -> vec2<u32> {
    let safe = clamp(value, vec4(-65504.0), vec4(65504.0));
    return vec2(pack2x16float(safe.xy), pack2x16float(safe.zw));
}

fn write_k(at: u32, value: vec4<f32>) {
    cache_k[at] = pack4(value);
}

fn write_v(at: u32, value: vec4<f32>) {
    cache_v[at] = pack4(value);
}
