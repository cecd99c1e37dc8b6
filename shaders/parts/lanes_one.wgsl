// Slot `lanes`: every invocation works alone.
override WG: u32 = 32u;
const LANES: u32 = 1u;

fn sum_lanes(value: vec4<f32>, lane: u32) -> vec4<f32> {
    return value;
}
