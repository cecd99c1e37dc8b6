// Slot `attention_params`: the parameters of the fused attention kernels.
struct Params {
    rows: u32,
    heads: u32,
    kv_heads: u32,
    // D, and the distance between two rows of q.
    width: u32,
    stride: u32,
    // Positions of each sequence in the bound part of the cache, and the first of them.
    context: u32,
    // Positions that a row sees, its own included; 0 for all.
    window: u32,
    first: u32,
    // S, and the index of the first split in the bound part of the cache.
    splits: u32,
    split: u32,
    scale: f32,
}
