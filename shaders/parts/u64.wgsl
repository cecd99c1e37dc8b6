// Slot `u64`: 64-bit unsigned integers as two words, the low one first.

fn plus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn minus(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    return vec2(a.x - b.x, a.y - b.y - select(0u, 1u, a.x < b.x));
}

fn less(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

// All 64 bits of a b, from the products of their 16-bit halves.
fn product(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let left = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let right = (a & 0xffffu) * (b >> 16u) + (left & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (left >> 16u) + (right >> 16u);
    return vec2((right << 16u) | (low & 0xffffu), high);
}

// a b / 2^32, rounded up.
fn share(a: vec2<u32>, b: u32) -> vec2<u32> {
    let low = product(a.x, b);
    return plus(product(a.y, b), vec2(low.y + select(0u, 1u, low.x > 0u), 0u));
}
