// Slot `weight`: GGUF's IQ4_NL, w = d n: 32 nibbles q, each of which stands for a number n, share
// the f16 scale d.
// The low nibbles of a 16-byte word are its values 0 to 15, the high ones 16 to 31. The scales of
// four rows lie together, so that one load fetches them for a kernel that works on four rows.
// parts: codebook_iq4
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec2<u32>>;

struct Word { nibbles: vec4<u32>, scale: f32 }

fn load_word(row: u32, word: u32) -> Word {
    let four = scales[row / 4u * params.words + word];
    let pair = unpack2x16float(select(four.x, four.y, (row & 2u) == 2u));
    return Word(weights[row * params.words + word], select(pair.x, pair.y, (row & 1u) == 1u));
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let four = scales[first / 4u * params.words + word];
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
    let nibbles = (word.nibbles[four % 4u] >> (4u * (four / 4u))) & 0x0f0f0f0fu;
    return word.scale * codebook_iq4(nibbles);
}
