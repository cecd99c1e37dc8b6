// Slot `lanes`: LANES neighbors sum within subgroups of any size, then across them through
// workgroup memory. The invocations of a subgroup are neighbors; LANES is a power of two.
override WG: u32 = 64u;
override LANES: u32 = 8u;

var<workgroup> lanes_values: array<vec4<f32>, WG>;

fn sum_lanes(value: vec4<f32>, lane: u32) -> vec4<f32> {
    let size = subgroupAdd(1u);
    var own = value;
    for (var step = 1u; step < LANES; step *= 2u) {
        // All lanes shuffle, but only values of the same subgroup are added.
        let other = subgroupShuffleXor(own, step);
        own += select(vec4(0.0), other, step < size);
    }
    lanes_values[lane] = own;
    workgroupBarrier();
    let first = lane - lane % LANES;
    var sum = vec4(0.0);
    for (var i = first; i < first + LANES; i += size) {
        sum += lanes_values[i];
    }
    workgroupBarrier();
    return sum;
}
