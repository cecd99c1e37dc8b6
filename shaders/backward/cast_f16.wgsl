// cast_f16: out = values as f16, rounded to the nearest, ties to even.
//
//   values  (n)
//   out     (n)  eight to a word, as `weight_f16` reads them
//
// The rounding of pack2x16float is up to the device, so this is done in integers, with the same
// result everywhere. Values that are too large become infinite, which shows in the loss.
// One invocation makes eight values.
// Grid: (n / 8 / 64).
struct Params { words: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;

// The bits of four f16 from those of four f32.
fn halves(bits: vec4<u32>) -> vec4<u32> {
    let sign = (bits >> vec4(16u)) & vec4(0x8000u);
    let size = bits & vec4(0x7fffffffu);
    // From 2^-14 on, f16 keeps ten of the 23 bits after the leading one, with another bias.
    let half_a_step = vec4(0xfffu) + ((size >> vec4(13u)) & vec4(1u));
    let normal = (size - vec4(0x38000000u) + half_a_step) >> vec4(13u);
    // Below, it counts in units of 2^-24: the leading one is explicit, and the shift is larger.
    let one = (size & vec4(0x7fffffu)) | vec4(0x800000u);
    let down = min(vec4(126u) - min(size >> vec4(23u), vec4(112u)), vec4(25u));
    let least = (vec4(1u) << (down - vec4(1u))) - vec4(1u) + ((one >> down) & vec4(1u));
    let small = (one + least) >> down;
    let finite = select(small, normal, size >= vec4(0x38800000u));
    // From half a step above 65504 on, values round up to infinity.
    let large = select(vec4(0x7c00u), vec4(0x7e00u), size > vec4(0x7f800000u));
    return sign | select(finite, large, size >= vec4(0x477ff000u));
}

@compute @workgroup_size(64)
fn cast_f16(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.x + group.y * 65535u) * 64u + lane;
    if i >= params.words {
        return;
    }
    let a = halves(values[2u * i]);
    let b = halves(values[2u * i + 1u]);
    out[i] = vec4(a.xz, b.xz) | (vec4(a.yw, b.yw) << vec4(16u));
}
