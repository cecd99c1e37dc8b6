// Slot `weight`: GGUF's Q8_0, w = d q: 32 signed bytes share the f16 scale d.
// A 16-byte word holds half a block; the scales lie in a plane of their own, two to a u32.
const WORD: u32 = 16u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<u32>;

struct Word { bytes: vec4<u32>, scale: f32 }

fn load_word(row: u32, word: u32) -> Word {
    let block = word / 2u;
    let pairs = (params.words / 2u + 1u) / 2u;
    let pair = unpack2x16float(scales[row * pairs + block / 2u]);
    return Word(weights[row * params.words + word], select(pair.x, pair.y, (block & 1u) == 1u));
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    return word.scale * vec4<f32>(unpack4xI8(word.bytes[four]));
}
