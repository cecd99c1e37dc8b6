// clip: the length of all gradients taken together, and what they are multiplied by so that it is
// at most max_norm: min(1, max_norm / length), or 1 where max_norm is 0.
//
//   partials  (n)  sums of squares
//   settings  (8)  rate, beta 1, beta 2, eps, decay, 1 - beta 1^t, 1 - beta 2^t, max_norm
//   out       (4)  factor, length, whether that is finite (1 or 0), 0
//
// One workgroup. Grid: (1).
// parts: reduce
struct Params { count: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read> settings: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn clip(@builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var i = lane; i < params.count; i += WG) {
        sum += partials[i];
    }
    let length = sqrt(sum_workgroup(sum, lane));
    if lane == 0u {
        // Compilers may assume that no number is infinite or none; bits tell.
        let finite = (bitcast<u32>(length) & 0x7f800000u) != 0x7f800000u;
        let most = settings[7];
        var factor = 1.0;
        if most > 0.0 && length > most {
            factor = most / length;
        }
        out[0] = factor;
        out[1] = length;
        out[2] = select(0.0, 1.0, finite);
        out[3] = 0.0;
    }
}
