// Slot `weight`: GGUF's Q5_K, w = d s q - m t: 256 numbers of five bits share d and m, f16, and
// every 32 of them s and t of six bits.
// The lower four bits of four neighbors lie in the bytes of a u32, two vec4s in each. A record
// serves eight words of four rows: their pairs d, m; then s and t of each word, as `scales6`; then
// the fifth bits.
// parts: scales6
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, bits: u32, scale: vec2<f32> }

fn load_word(row: u32, word: u32) -> Word {
    let at = row / 4u * params.words + word;
    let record = at / 8u * 12u;
    let pair = unpack2x16float(scales[record][row % 4u]);
    let six = (scales6(record + 1u, at % 8u) >> vec2(8u * (row % 4u))) & vec2(63u);
    let bits = scales[record + 4u + at % 8u][row % 4u];
    return Word(weights[row * params.words + word], bits, pair * vec2<f32>(six));
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = first / 4u * params.words + word;
    let record = at / 8u * 12u;
    let pairs = scales[record];
    let bits = scales[record + 4u + at % 8u];
    let six = scales6(record + 1u, at % 8u);
    let s = vec4<f32>(unpack4xU8(six.x));
    let t = vec4<f32>(unpack4xU8(six.y));
    let a = unpack2x16float(pairs.x) * vec2(s.x, t.x);
    let b = unpack2x16float(pairs.y) * vec2(s.y, t.y);
    let c = unpack2x16float(pairs.z) * vec2(s.z, t.z);
    let d = unpack2x16float(pairs.w) * vec2(s.w, t.w);
    return array(
        Word(weights[first * params.words + word], bits.x, a),
        Word(weights[min(first + 1u, last) * params.words + word], bits.y, b),
        Word(weights[min(first + 2u, last) * params.words + word], bits.z, c),
        Word(weights[min(first + 3u, last) * params.words + word], bits.w, d),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let low = (word.nibbles[four / 2u] >> (4u * (four % 2u))) & 0x0f0f0f0fu;
    let high = (word.bits >> four) & 0x01010101u;
    return word.scale.x * vec4<f32>(unpack4xU8(low | (high << 4u))) - word.scale.y;
}
