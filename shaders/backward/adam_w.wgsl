// adam_w: one AdamW step; the gradients become 0 for the next step.
//   g = factor gradient;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
//   p = p - rate (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + decay p)
// Loshchilov and Hutter 2019. Nothing changes if the norm of all gradients is not finite.
//
//   parameters, gradient, mean, square  (n)
//   settings, clip  as in the part `optimizer_settings`
//
// One invocation makes four values; DECAYS is false for vectors. Grid: (n / 4 / 64).
// parts: optimizer_settings
struct Params { vec4s: u32 }

override DECAYS: bool = false;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> mean: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> square: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> settings: OptimizerSettings;
@group(0) @binding(6) var<storage, read> clip: Clipping;

@compute @workgroup_size(64)
fn adam_w(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i >= params.vec4s || clip.finite == 0.0 {
        return;
    }
    let b1 = settings.beta1;
    let b2 = settings.beta2;
    let g = gradient[i] * clip.factor;
    let m = b1 * mean[i] + (1.0 - b1) * g;
    let v = b2 * square[i] + (1.0 - b2) * g * g;
    var towards = m / settings.correction1 / (sqrt(v / settings.correction2) + settings.eps);
    if DECAYS {
        towards += settings.decay * parameters[i];
    }
    parameters[i] -= settings.rate * towards;
    mean[i] = m;
    square[i] = v;
    gradient[i] = vec4(0.0);
}
