// Slot `weight`: f16, eight to a 16-byte word. Unpacking needs no device feature.
const WORD: u32 = 8u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;

struct Word { halves: vec4<u32> }

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
    let pair = select(word.halves.xy, word.halves.zw, four == 1u);
    return vec4(unpack2x16float(pair.x), unpack2x16float(pair.y));
}
