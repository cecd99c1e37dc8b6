// Slot `weight`: GGUF's Q4_1, w = d q + m: 32 nibbles share an f16 scale d and an f16 minimum m.
// The low nibbles of a 16-byte word are its values 0 to 15, the high ones 16 to 31.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<u32>;

struct Word { nibbles: vec4<u32>, scale: vec2<f32> }

fn load_word(row: u32, word: u32) -> Word {
    let at = row * params.words + word;
    return Word(weights[at], unpack2x16float(scales[at]));
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let nibbles = (word.nibbles[four % 4u] >> (4u * (four / 4u))) & 0x0f0f0f0fu;
    return word.scale.x * vec4<f32>(unpack4xU8(nibbles)) + word.scale.y;
}
