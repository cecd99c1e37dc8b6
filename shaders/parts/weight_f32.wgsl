// Slot `weight`: f32, four to a 16-byte word.
const WORD: u32 = 4u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<f32>>;

struct Word { values: vec4<f32> }

fn load_word(row: u32, word: u32) -> Word {
    return Word(weights[row * params.words + word]);
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    return word.values;
}
