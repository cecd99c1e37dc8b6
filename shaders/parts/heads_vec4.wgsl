// Slot `heads`: reads heads that begin at a whole vec4.
@group(2) @binding(0) var<storage, read> heads_q: array<vec4<f32>>;
@group(2) @binding(1) var<storage, read> heads_dz: array<vec4<f32>>;

fn read_q(row: u32, head: u32, i: u32) -> vec4<f32> {
    return heads_q[(row * params.stride + head * params.width) / 4u + i];
}

fn read_dz(row: u32, head: u32, i: u32) -> vec4<f32> {
    return heads_dz[(row * params.stride + head * params.width) / 4u + i];
}
