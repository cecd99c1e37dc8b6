// Slot `weight`: GGUF's Q5_0, w = d (q - 16): 32 numbers of five bits share the f16 scale d.
// The lower four bits of four neighbors lie in the bytes of a u32, two vec4s in each. A record
// serves two words of four rows: their scales, then the fifth bits of the one and of the other.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, bits: u32, scale: f32 }

fn record(row: u32, word: u32) -> u32 {
    return (row / 4u * ((params.words + 1u) / 2u) + word / 2u) * 3u;
}

fn scale_pairs(record: u32, word: u32) -> vec4<f32> {
    let pairs = select(scales[record].xy, scales[record].zw, word % 2u == 1u);
    return vec4(unpack2x16float(pairs.x), unpack2x16float(pairs.y));
}

fn load_word(row: u32, word: u32) -> Word {
    let at = record(row, word);
    let bits = scales[at + 1u + word % 2u][row % 4u];
    return Word(weights[row * params.words + word], bits, scale_pairs(at, word)[row % 4u]);
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = record(first, word);
    let d = scale_pairs(at, word);
    let bits = scales[at + 1u + word % 2u];
    return array(
        Word(weights[first * params.words + word], bits.x, d.x),
        Word(weights[min(first + 1u, last) * params.words + word], bits.y, d.y),
        Word(weights[min(first + 2u, last) * params.words + word], bits.z, d.z),
        Word(weights[min(first + 3u, last) * params.words + word], bits.w, d.w),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let low = (word.nibbles[four / 2u] >> (4u * (four % 2u))) & 0x0f0f0f0fu;
    let high = (word.bits >> four) & 0x01010101u;
    return word.scale * (vec4<f32>(unpack4xU8(low | (high << 4u))) - 16.0);
}
