// Slot `reduce`: sums and maxima over a workgroup that is exactly one subgroup of WG lanes.
override WG: u32 = 32u;

fn sum_workgroup(value: f32, lane: u32) -> f32 {
    return subgroupAdd(value);
}

fn max_workgroup(value: f32, lane: u32) -> f32 {
    return subgroupMax(value);
}
