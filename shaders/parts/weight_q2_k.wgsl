// Slot `weight`: GGUF's Q2_K, w = d s q - m t: 256 numbers of two bits share d and m, f16, and
// every 16 of them s and t of four bits.
// Four neighbors lie in the bytes of a u32, four vec4s in each; the words of four rows lie
// together. A record serves eight words of four rows: their pairs d, m; then, one row per byte, s
// and t of the first and of the second half of each word.
const WORD: u32 = 32u;

@group(1) @binding(0) var<storage, read> weights: array<vec4<u32>>;
@group(1) @binding(1) var<storage, read> scales: array<vec4<u32>>;

struct Word { crumbs: vec2<u32>, scale: vec2<f32>, least: vec2<f32> }

fn halves(at: u32) -> vec2<u32> {
    let pair = scales[at / 8u * 5u + 1u + at / 2u % 4u];
    return select(pair.xy, pair.zw, at % 2u == 1u);
}

fn load_word(row: u32, word: u32) -> Word {
    let at = row / 4u * params.words + word;
    let pair = weights[at * 2u + row / 2u % 2u];
    let factors = unpack2x16float(scales[at / 8u * 5u][row % 4u]);
    let both = halves(at) >> vec2(8u * (row % 4u));
    return Word(
        select(pair.xy, pair.zw, row % 2u == 1u),
        factors.x * vec2<f32>(both & vec2(15u)),
        factors.y * vec2<f32>((both >> vec2(4u)) & vec2(15u)),
    );
}

fn load_words(first: u32, last: u32, word: u32) -> array<Word, 4> {
    let at = first / 4u * params.words + word;
    let low = weights[at * 2u];
    let high = weights[at * 2u + 1u];
    let factors = scales[at / 8u * 5u];
    let a = unpack2x16float(factors.x);
    let b = unpack2x16float(factors.y);
    let c = unpack2x16float(factors.z);
    let d = unpack2x16float(factors.w);
    let both = halves(at);
    let scale = both & vec2(0x0f0f0f0fu);
    let least = (both >> vec2(4u)) & vec2(0x0f0f0f0fu);
    let s = mat2x4(vec4<f32>(unpack4xU8(scale.x)), vec4<f32>(unpack4xU8(scale.y)));
    let t = mat2x4(vec4<f32>(unpack4xU8(least.x)), vec4<f32>(unpack4xU8(least.y)));
    return array(
        Word(low.xy, a.x * vec2(s[0].x, s[1].x), a.y * vec2(t[0].x, t[1].x)),
        Word(low.zw, b.x * vec2(s[0].y, s[1].y), b.y * vec2(t[0].y, t[1].y)),
        Word(high.xy, c.x * vec2(s[0].z, s[1].z), c.y * vec2(t[0].z, t[1].z)),
        Word(high.zw, d.x * vec2(s[0].w, s[1].w), d.y * vec2(t[0].w, t[1].w)),
    );
}

fn word4(word: Word, four: u32) -> vec4<f32> {
    let half = four / 4u;
    let crumbs = (word.crumbs[half] >> (2u * (four % 4u))) & 0x03030303u;
    return word.scale[half] * vec4<f32>(unpack4xU8(crumbs)) - word.least[half];
}
