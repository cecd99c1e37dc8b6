// Slot `weight`: GGUF's Q8_0, w = d q: 32 signed bytes share the f16 scale d.
// A 16-byte word holds half a block. The scales are in a plane of their own, those of four rows
// together, so that one load fetches them for a kernel that works on four rows.
const WORD: u32 = 16u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec2<u32>>;

struct Word { bytes: vec4<u32>, scale: f32 }

fn load_word(row: u32, word: u32) -> Word {
    let four = scales[row / 4u * (params.words / 2u) + word / 2u];
    let pair = unpack2x16float(select(four.x, four.y, (row & 2u) == 2u));
    return Word(weights[row * params.words + word], select(pair.x, pair.y, (row & 1u) == 1u));
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let four = scales[first / 4u * (params.words / 2u) + word / 2u];
    let low = unpack2x16float(four.x);
    let high = unpack2x16float(four.y);
    return array(
        Word(weights[first * params.words + word], low.x),
        Word(weights[min(first + 1u, last) * params.words + word], low.y),
        Word(weights[min(first + 2u, last) * params.words + word], high.x),
        Word(weights[min(first + 3u, last) * params.words + word], high.y),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    return word.scale * vec4<f32>(unpack4xI8(word.bytes[four]));
}
