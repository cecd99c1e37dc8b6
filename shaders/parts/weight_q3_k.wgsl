// Slot `weight`: GGUF's Q3_K, w = d (s - 32) (q - 4): 256 numbers of three bits share the f16 scale
// d, and every 16 of them s of six bits.
// The lower two bits of four neighbors lie in the bytes of a u32, four vec4s in each; the words of
// four rows lie together. A record serves eight words of four rows: their d, and 8 unused
// bytes; s of the first and of the second half of each word, as `scales6`; the third bits.
// parts: scales6
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { crumbs: vec2<u32>, bits: u32, scale: vec2<f32> }

fn load_word(row: u32, word: u32) -> Word {
    let at = row / 4u * params.words + word;
    let record = at / 8u * 12u;
    let pair = weights[at * 2u + row / 2u % 2u];
    let d = unpack2x16float(scales[record][row / 2u % 2u])[row % 2u];
    let s = (scales6(record + 1u, at % 8u) >> vec2(8u * (row % 4u))) & vec2(63u);
    return Word(
        select(pair.xy, pair.zw, row % 2u == 1u),
        scales[record + 4u + at % 8u][row % 4u],
        d * (vec2<f32>(s) - 32.0),
    );
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = first / 4u * params.words + word;
    let record = at / 8u * 12u;
    let low = weights[at * 2u];
    let high = weights[at * 2u + 1u];
    let factors = scales[record].xy;
    let d = vec4(unpack2x16float(factors.x), unpack2x16float(factors.y));
    let six = scales6(record + 1u, at % 8u);
    let s = d * (vec4<f32>(unpack4xU8(six.x)) - 32.0);
    let t = d * (vec4<f32>(unpack4xU8(six.y)) - 32.0);
    let bits = scales[record + 4u + at % 8u];
    return array(
        Word(low.xy, bits.x, vec2(s.x, t.x)),
        Word(low.zw, bits.y, vec2(s.y, t.y)),
        Word(high.xy, bits.z, vec2(s.z, t.z)),
        Word(high.zw, bits.w, vec2(s.w, t.w)),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let half = four / 4u;
    let low = (word.crumbs[half] >> (2u * (four % 4u))) & 0x03030303u;
    let high = (word.bits >> four) & 0x01010101u;
    return word.scale[half] * (vec4<f32>(unpack4xU8(low | (high << 2u))) - 4.0);
}
