// Slot `codebook_iq4`: the numbers that the nibbles of IQ4_NL and IQ4_XS stand for.

// Sixteen signed bytes, four in each u32, the first lowest.
const CODEBOOK = vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u);

// The numbers of four nibbles, each in a byte of its own. The upper two bits of a nibble choose a
// u32 of the table: by comparisons, since compilers would serve an index from memory.
fn codebook_iq4(nibbles: u32) -> vec4<f32> {
    let q = unpack4xU8(nibbles);
    let upper = (q & vec4(4u)) != vec4(0u);
    let below = select(vec4(CODEBOOK.x), vec4(CODEBOOK.y), upper);
    let above = select(vec4(CODEBOOK.z), vec4(CODEBOOK.w), upper);
    let four = select(below, above, (q & vec4(8u)) != vec4(0u));
    // The byte moves to the top, and back with its sign.
    return vec4<f32>(bitcast<vec4<i32>>(four << (vec4(24u) - 8u * (q & vec4(3u)))) >> vec4(24u));
}
