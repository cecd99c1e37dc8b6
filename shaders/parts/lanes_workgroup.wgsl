// Slot `lanes`: LANES neighbors sum through workgroup memory; LANES is a power of two.
override WG: u32 = 64u;
override LANES: u32 = 32u;

var<workgroup> lanes_values: array<vec4<f32>, WG>;

fn sum_lanes(value: vec4<f32>, lane: u32) -> vec4<f32> {
    lanes_values[lane] = value;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane % LANES < half {
            lanes_values[lane] += lanes_values[lane + half];
        }
    }
    workgroupBarrier();
    let sum = lanes_values[lane - lane % LANES];
    workgroupBarrier();
    return sum;
}
