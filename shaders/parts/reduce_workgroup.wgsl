// Slot `reduce`: sums and maxima over a workgroup of WG invocations, through workgroup memory.
override WG: u32 = 64u;

var<workgroup> reduce_lanes: array<f32, WG>;

fn sum_workgroup(value: f32, lane: u32) -> f32 {
    reduce_lanes[lane] = value;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            reduce_lanes[lane] += reduce_lanes[lane + half];
        }
    }
    workgroupBarrier();
    let sum = reduce_lanes[0];
    workgroupBarrier();
    return sum;
}

fn max_workgroup(value: f32, lane: u32) -> f32 {
    reduce_lanes[lane] = value;
    for (var half = WG / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            reduce_lanes[lane] = max(reduce_lanes[lane], reduce_lanes[lane + half]);
        }
    }
    workgroupBarrier();
    let largest = reduce_lanes[0];
    workgroupBarrier();
    return largest;
}
