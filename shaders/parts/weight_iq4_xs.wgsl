// Slot `weight`: GGUF's IQ4_XS, w = d (s - 32) n: 256 nibbles q, each of which stands for a number
// n, share the f16 scale d, and every 32 of them s of six bits.
// Four neighbors lie in the bytes of a u32, two vec4s in each. A record serves eight words of four
// rows: their d; then the upper two bits of s, four rows in a byte; then the lower four bits of s,
// four rows in two bytes.
// parts: codebook_iq4
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, scale: f32 }

// The scales d (s - 32) of a word of four rows.
fn word_scales(four_rows: u32, word: u32) -> vec4<f32> {
    let at = four_rows * params.words + word;
    let first = scales[at / 8u * 2u];
    let d = vec4(unpack2x16float(first.x), unpack2x16float(first.y));
    let upper = select(first.z, first.w, at % 8u >= 4u) >> (8u * (at % 4u));
    let lower = scales[at / 8u * 2u + 1u][at % 8u / 2u] >> (16u * (at % 2u));
    let s = ((vec4(lower) >> vec4(0u, 4u, 8u, 12u)) & vec4(15u)) |
        (((vec4(upper) >> vec4(0u, 2u, 4u, 6u)) & vec4(3u)) << vec4(4u));
    return d * (vec4<f32>(s) - 32.0);
}

fn load_word(row: u32, word: u32) -> Word {
    return Word(weights[row * params.words + word], word_scales(row / 4u, word)[row % 4u]);
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let scale = word_scales(first / 4u, word);
    return array(
        Word(weights[first * params.words + word], scale.x),
        Word(weights[min(first + 1u, last) * params.words + word], scale.y),
        Word(weights[min(first + 2u, last) * params.words + word], scale.z),
        Word(weights[min(first + 3u, last) * params.words + word], scale.w),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    return word.scale * codebook_iq4((word.nibbles[four / 2u] >> (4u * (four % 2u))) & 0x0f0f0f0fu);
}
