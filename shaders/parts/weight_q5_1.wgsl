// Slot `weight`: GGUF's Q5_1, w = d q + m: 32 numbers of five bits share an f16 scale d and an f16
// minimum m.
// The lower four bits of four neighbors lie in the bytes of a u32, two vec4s in each. A record
// serves a word of four rows: their pairs d, m, then their fifth bits.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, bits: u32, scale: vec2<f32> }

fn load_word(row: u32, word: u32) -> Word {
    let at = (row / 4u * params.words + word) * 2u;
    let pair = unpack2x16float(scales[at][row % 4u]);
    return Word(weights[row * params.words + word], scales[at + 1u][row % 4u], pair);
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = (first / 4u * params.words + word) * 2u;
    let pairs = scales[at];
    let a = unpack2x16float(pairs.x);
    let b = unpack2x16float(pairs.y);
    let c = unpack2x16float(pairs.z);
    let d = unpack2x16float(pairs.w);
    let bits = scales[at + 1u];
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
    return word.scale.x * vec4<f32>(unpack4xU8(low | (high << 4u))) + word.scale.y;
}
