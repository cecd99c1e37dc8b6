// Slot `weight`: GGUF's Q4_0, w = d (q - 8): 32 nibbles share the f16 scale d.
// The low nibbles of a 16-byte word are its values 0 to 15, the high ones 16 to 31.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<u32>;

struct Word { nibbles: vec4<u32>, scale: f32 }

fn load_word(row: u32, word: u32) -> Word {
    let pairs = (params.words + 1u) / 2u;
    let pair = unpack2x16float(scales[row * pairs + word / 2u]);
    return Word(weights[row * params.words + word], select(pair.x, pair.y, (word & 1u) == 1u));
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let nibbles = (word.nibbles[four % 4u] >> (4u * (four / 4u))) & 0x0f0f0f0fu;
    return word.scale * (vec4<f32>(unpack4xU8(nibbles)) - 8.0);
}
