//! Twin of `attention_scores`.

use super::attention_size::AttentionSize;

/// softcap(scale · q·k), −∞ where masked: q (T, H, D), keys (S, K, D), positions (T); returns (H,
/// T, S).
pub fn attention_scores(
    q: &[f64],
    keys: &[f64],
    positions: &[u32],
    size: AttentionSize,
) -> Vec<f64> {
    let rows = positions.len();
    let all_keys = keys.len() / (size.kv_heads * size.head_width);
    let mut scores = vec![f64::NEG_INFINITY; size.heads * rows * all_keys];
    for (run, scores) in scores.chunks_exact_mut(all_keys).enumerate() {
        let (head, row) = (run / rows, run % rows);
        let query = &q[(row * size.heads + head) * size.head_width..][..size.head_width];
        for key in size.seen(positions[row]) {
            scores[key] = size.score(query, keys, key, head);
        }
    }
    scores
}
