//! Scores and pattern of attention, which [`attention`](super::attention) never stores as a whole.

use super::attention_scores::attention_scores;
use super::attention_size::AttentionSize;
use super::softmax::softmax;

/// The result of [`attention_pattern`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionPattern {
    /// softcap(scale · q·k), −∞ where masked, (H, T, S).
    pub scores: Vec<f64>,
    /// The softmax of each row of scores, (H, T, S).
    pub pattern: Vec<f64>,
}

/// Scores and pattern of attention: q (T, H, D), keys (S, K, D), positions (T).
pub fn attention_pattern(
    q: &[f64],
    keys: &[f64],
    positions: &[u32],
    size: AttentionSize,
) -> AttentionPattern {
    let scores = attention_scores(q, keys, positions, size);
    let pattern = softmax(&scores, keys.len() / (size.kv_heads * size.head_width));
    AttentionPattern { scores, pattern }
}
