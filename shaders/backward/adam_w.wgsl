// adam_w: parameters move, and their gradients become 0 for the next step.
//   g = factor gradient;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   p = p - rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay p)
// Loshchilov and Hutter 2019. Nothing happens where the length of all gradients is not finite.
//
//   parameters, gradient, mean, square  (n)
//   settings  (8)  rate, beta 1, beta 2, eps, decay, 1 - beta 1^t, 1 - beta 2^t, max_norm
//   clip      (4)  factor, length, whether that is finite, 0
//
// One invocation makes four values; DECAYS is false for vectors. Grid: (n / 4 / 64).
struct Params { fours: u32 }

override DECAYS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> square: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> settings: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> clip: array<vec4<f32>>;

@compute @workgroup_size(64)
fn adam_w(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i >= params.fours || clip[0].z == 0.0 {
        return;
    }
    let rate = settings[0].x;
    let b1 = settings[0].y;
    let b2 = settings[0].z;
    let eps = settings[0].w;
    let decay = settings[1].x;
    let g = gradient[i] * clip[0].x;
    let m = b1 * mean[i] + (1.0 - b1) * g;
    let v = b2 * square[i] + (1.0 - b2) * g * g;
    var towards = m / settings[1].y / (sqrt(v / settings[1].z) + eps);
    if DECAYS {
        towards += decay * parameters[i];
    }
    parameters[i] -= rate * towards;
    mean[i] = m;
    square[i] = v;
    gradient[i] = vec4(0.0);
}
