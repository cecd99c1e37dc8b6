// clip: the L2 norm of all gradients together, and the factor that keeps it at most max_norm:
// min(1, max_norm / length), or 1 where max_norm is 0.
//
//   partials  (n)  sums of squares
//   settings, out  as in the part `optimizer_settings`
//
// One workgroup. Grid: (1).
// parts: reduce, optimizer_settings
struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> settings: OptimizerSettings;
@group(0) @binding(3) var<storage, read_write> out: Clipping;

@compute @workgroup_size(WG)
fn clip(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < params.count; i += WG) {
        sum += partials[i];
    }
    let length = sqrt(sum_workgroup(sum, lane));
    if lane == 0u {
        // Compilers may assume that nothing is infinite or NaN, so the bits are tested.
        let finite = (bitcast<u32>(length) & 0x7f800000u) != 0x7f800000u;
        let most = settings.max_norm;
        var factor = 1.0;
        if most > 0.0 && length > most {
            factor = most / length;
        }
        out = Clipping(factor, length, select(0.0, 1.0, finite), 0.0);
    }
}
