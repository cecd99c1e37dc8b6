// Slot `attention_params`: the numbers of the fused kernels of attention.
struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    // D, and the distance between two rows of q.
    width: u32,
    stride: u32,
    // Positions of each sequence that the bound part of the cache holds, and the first of them.
    context: u32,
    // Positions that a row sees, its own included; 0 for all.
    window: u32,
    first: u32,
    // S, and the number of the split that the bound part of the cache begins with.
    splits: u32,
    split: u32,
    scale: f32,
}
