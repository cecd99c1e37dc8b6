// sgd: p = p - rate factor gradient, and the gradients become 0 for the next step. Nothing changes
// if the norm of all gradients is not finite.
//
//   parameters, gradient  (n)
//   settings, clip  as in the part `optimizer_settings`
//
// One invocation makes four values. Grid: (n / 4 / 64).
// parts: optimizer_settings
struct Params { vec4s: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> settings: OptimizerSettings;
@group(0) @binding(4) var<storage, read> clip: Clipping;

@compute @workgroup_size(64)
fn sgd(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i >= params.vec4s || clip.finite == 0.0 {
        return;
    }
    parameters[i] -= settings.rate * clip.factor * gradient[i];
    gradient[i] = vec4(0.0);
}
