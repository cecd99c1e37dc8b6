// Slot `weight`: f32, four to a 16-byte word.
const WORD: u32 = 4u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<f32>>;

struct Word { values: vec4<f32> }

fn load_word(row: u32, word: u32) -> Word {
    return Word(weights[row * params.words + word]);
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    return array(
        load_word(first, word),
        load_word(min(first + 1u, last), word),
        load_word(min(first + 2u, last), word),
        load_word(min(first + 3u, last), word),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    return word.values;
}
