// Slot `cache`: keys and values as f32, (sequence, head, position, width padded to vec4s).
@group(3) @binding(0) var<storage, read_write> cache_k: array<vec4<f32>>;
@group(3) @binding(1) var<storage, read_write> cache_v: array<vec4<f32>>;

fn write_k(at: u32, value: vec4<f32>) {
    cache_k[at] = value;
}

fn write_v(at: u32, value: vec4<f32>) {
    cache_v[at] = value;
}
