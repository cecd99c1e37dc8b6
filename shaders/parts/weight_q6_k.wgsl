// Slot `weight`: GGUF's Q6_K, w = d s (q - 32): 256 numbers of six bits share the f16 scale d, and
// every 16 of them s, a signed byte.
// The lower four bits of four neighbors lie in the bytes of a u32, two vec4s in each. A record
// serves eight words of four rows: their d, and 8 unused bytes; then, a row a byte, s of the
// first and of the second half of each word; then the upper two bits, four vec4s in a u32.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, crumbs: vec2<u32>, scale: vec2<f32> }

fn halves(at: u32) -> vec2<u32> {
    let pair = scales[at / 8u * 21u + 1u + at / 2u % 4u];
    return select(pair.xy, pair.zw, at % 2u == 1u);
}

fn load_word(row: u32, word: u32) -> Word {
    let at = row / 4u * params.words + word;
    let record = at / 8u * 21u;
    let d = unpack2x16float(scales[record][row / 2u % 2u])[row % 2u];
    let pair = scales[record + 5u + at % 8u * 2u + row / 2u % 2u];
    // Shifted up, and down again with sign extension.
    let s = bitcast<vec2<i32>>(halves(at) << vec2(24u - 8u * (row % 4u))) >> vec2(24u);
    return Word(
        weights[row * params.words + word],
        select(pair.xy, pair.zw, row % 2u == 1u),
        d * vec2<f32>(s),
    );
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = first / 4u * params.words + word;
    let record = at / 8u * 21u;
    let factors = scales[record].xy;
    let d = vec4(unpack2x16float(factors.x), unpack2x16float(factors.y));
    let both = halves(at);
    let s = d * vec4<f32>(unpack4xI8(both.x));
    let t = d * vec4<f32>(unpack4xI8(both.y));
    let low = scales[record + 5u + at % 8u * 2u];
    let high = scales[record + 6u + at % 8u * 2u];
    return array(
        Word(weights[first * params.words + word], low.xy, vec2(s.x, t.x)),
        Word(weights[min(first + 1u, last) * params.words + word], low.zw, vec2(s.y, t.y)),
        Word(weights[min(first + 2u, last) * params.words + word], high.xy, vec2(s.z, t.z)),
        Word(weights[min(first + 3u, last) * params.words + word], high.zw, vec2(s.w, t.w)),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let half = four / 4u;
    let low = (word.nibbles[four / 2u] >> (4u * (four % 2u))) & 0x0f0f0f0fu;
    let high = (word.crumbs[half] >> (2u * (four % 4u))) & 0x03030303u;
    return word.scale[half] * (vec4<f32>(unpack4xU8(low | (high << 4u))) - 32.0);
}
