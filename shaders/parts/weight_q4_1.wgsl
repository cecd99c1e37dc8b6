// Slot `weight`: GGUF's Q4_1, w = d q + m: 32 nibbles share an f16 scale d and an f16 minimum m.
// The low nibbles of a 16-byte word are its values 0 to 15, the high ones 16 to 31. The pairs d, m
// of four rows lie together, so that one load fetches them for a kernel that works on four rows.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { nibbles: vec4<u32>, scale: vec2<f32> }

fn load_word(row: u32, word: u32) -> Word {
    let pair = scales[row / 4u * params.words + word][row % 4u];
    return Word(weights[row * params.words + word], unpack2x16float(pair));
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let four = scales[first / 4u * params.words + word];
    return array(
        Word(weights[first * params.words + word], unpack2x16float(four.x)),
        Word(weights[min(first + 1u, last) * params.words + word], unpack2x16float(four.y)),
        Word(weights[min(first + 2u, last) * params.words + word], unpack2x16float(four.z)),
        Word(weights[min(first + 3u, last) * params.words + word], unpack2x16float(four.w)),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let nibbles = (word.nibbles[four % 4u] >> (4u * (four / 4u))) & 0x0f0f0f0fu;
    return word.scale.x * vec4<f32>(unpack4xU8(nibbles)) + word.scale.y;
}
