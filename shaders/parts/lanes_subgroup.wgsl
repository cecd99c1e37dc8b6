// Slot `lanes`: the LANES neighbors are exactly one subgroup.
override WG: u32 = 64u;
override LANES: u32 = 32u;

fn sum_lanes(value: vec4<f32>, lane: u32) -> vec4<f32> {
    return subgroupAdd(value);
}
