// ceiling_fma: s = s a + b on sixteen vec4 accumulators: measures multiply-adds per second.
//
//   out  (G, WG)  the accumulators' sum, written so that no compiler can drop the work
//
// Nothing is loaded, and no step waits for the one before it: sixteen chains run at once. They
// are separate variables, since an array might be put into memory, and start with different values,
// since equal chains might be merged. With a = b = 1/2 each reaches 1 and stays there, so the
// sum is 64. Grid: (G).
struct Params { steps: u32, a: f32, b: f32 }

override WG: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(WG)
fn ceiling_fma(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let a = vec4(params.a);
    let b = vec4(params.b);
    let start = f32(lane) + vec4(0.0, 0.25, 0.5, 0.75);
    var s0 = start + 0.0;
    var s1 = start + 1.0;
    var s2 = start + 2.0;
    var s3 = start + 3.0;
    var s4 = start + 4.0;
    var s5 = start + 5.0;
    var s6 = start + 6.0;
    var s7 = start + 7.0;
    var s8 = start + 8.0;
    var s9 = start + 9.0;
    var s10 = start + 10.0;
    var s11 = start + 11.0;
    var s12 = start + 12.0;
    var s13 = start + 13.0;
    var s14 = start + 14.0;
    var s15 = start + 15.0;
    for (var step = 0u; step < params.steps; step++) {
        s0 = fma(s0, a, b);
        s1 = fma(s1, a, b);
        s2 = fma(s2, a, b);
        s3 = fma(s3, a, b);
        s4 = fma(s4, a, b);
        s5 = fma(s5, a, b);
        s6 = fma(s6, a, b);
        s7 = fma(s7, a, b);
        s8 = fma(s8, a, b);
        s9 = fma(s9, a, b);
        s10 = fma(s10, a, b);
        s11 = fma(s11, a, b);
        s12 = fma(s12, a, b);
        s13 = fma(s13, a, b);
        s14 = fma(s14, a, b);
        s15 = fma(s15, a, b);
    }
    let low = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7));
    let high = ((s8 + s9) + (s10 + s11)) + ((s12 + s13) + (s14 + s15));
    out[group.x * WG + lane] = dot(low + high, vec4(1.0));
}
