// Slot `scales6`: pairs of six-bit numbers of Q3_K, Q4_K and Q5_K, of four rows at once.
// 48 bytes of a record hold, one row per byte of each u32: for each of eight words, four
// bits of the pair's first and four of its second; then for each two words, two bits of the first
// and two of the second, and the same of the other word.
// Reads `scales` of the part for the weight format.

// The pair of word `word` of a record, whose first 16 bytes are at `start`: first numbers, then
// second ones, one row per byte.
fn scales6(start: u32, word: u32) -> vec2<u32> {
    let low = scales[start + word / 4u][word % 4u];
    let high = scales[start + 2u][word / 2u] >> (4u * (word % 2u));
    return (vec2(low, low >> 4u) & vec2(0x0f0f0f0fu)) |
        ((vec2(high, high >> 2u) & vec2(0x03030303u)) << vec2(4u));
}
