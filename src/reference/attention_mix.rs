//! Twin of `attention_mix`.

use super::attention_size::AttentionSize;
use super::dot::add_scaled;

/// z = pattern · V: pattern (H, T, S), values (S, K, D); returns (T, H, D).
pub fn attention_mix(pattern: &[f64], values: &[f64], size: AttentionSize) -> Vec<f64> {
    let all_keys = values.len() / (size.kv_heads * size.head_width);
    let rows = pattern.len() / (size.heads * all_keys);
    let mut z = vec![0.0; rows * size.heads * size.head_width];
    for (run, z) in z.chunks_exact_mut(size.head_width).enumerate() {
        let (row, head) = (run / size.heads, run % size.heads);
        let weights = &pattern[(head * rows + row) * all_keys..][..all_keys];
        for (key, &weight) in weights.iter().enumerate() {
            add_scaled(z, size.head_of(values, key, head), weight);
        }
    }
    z
}
