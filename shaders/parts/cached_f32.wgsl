// Slot `cached`: reads what `cache_f32` wrote, four values at a time.
@group(3) @binding(0) var<storage, read> cache_k: array<vec4<f32>>;
@group(3) @binding(1) var<storage, read> cache_v: array<vec4<f32>>;

fn read_k(at: u32) -> vec4<f32> {
    return cache_k[at];
}

fn read_v(at: u32) -> vec4<f32> {
    return cache_v[at];
}
