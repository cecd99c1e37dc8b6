// Slot `heads`: reads heads that begin anywhere, value by value.
@group(2) @binding(0) var<storage, read> heads_q: array<f32>;
@group(2) @binding(1) var<storage, read> heads_dz: array<f32>;

fn read_q(row: u32, head: u32, i: u32) -> vec4<f32> {
    let at = row * params.stride + head * params.width;
    var four = vec4(0.0);
    for (var j = 0u; j < min(4u, params.width - i * 4u); j++) {
        four[j] = heads_q[at + i * 4u + j];
    }
    return four;
}

fn read_dz(row: u32, head: u32, i: u32) -> vec4<f32> {
    let at = row * params.stride + head * params.width;
    var four = vec4(0.0);
    for (var j = 0u; j < min(4u, params.width - i * 4u); j++) {
        four[j] = heads_dz[at + i * 4u + j];
    }
    return four;
}
