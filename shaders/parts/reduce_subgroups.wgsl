// Slot `reduce`: sums and maxima over WG invocations, within subgroups of any size, then across
// them. The invocations of a subgroup are neighbors, so it begins at a multiple of its size.
override WG: u32 = 256u;
// The smallest size of a subgroup.
override LEAST: u32 = 4u;
// One entry for each possible subgroup; with larger subgroups some stay unused.
override SLOTS: u32 = max(WG / LEAST, 1u);

var<workgroup> reduce_slots: array<f32, SLOTS>;

fn sum_workgroup(value: f32, lane: u32) -> f32 {
    let own = subgroupAdd(value);
    let slots = max(subgroupAdd(1u) / LEAST, 1u);
    let slot = lane / LEAST;
    if lane % LEAST == 0u && slot % slots == 0u {
        reduce_slots[slot] = own;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < SLOTS; i += slots) {
        sum += reduce_slots[i];
    }
    workgroupBarrier();
    return sum;
}

fn max_workgroup(value: f32, lane: u32) -> f32 {
    let own = subgroupMax(value);
    let slots = max(subgroupAdd(1u) / LEAST, 1u);
    let slot = lane / LEAST;
    if lane % LEAST == 0u && slot % slots == 0u {
        reduce_slots[slot] = own;
    }
    workgroupBarrier();
    var largest = reduce_slots[0];
    for (var i = slots; i < SLOTS; i += slots) {
        largest = max(largest, reduce_slots[i]);
    }
    workgroupBarrier();
    return largest;
}
