//! Twin of `attention`, fused: the pattern is not stored.

use super::attention_size::AttentionSize;
use super::dot::add_scaled;
use super::parallel::fill_runs;
use super::softmax::softmax;

/// z = softmax(softcap(scale · q Kᵀ)) V, per head and causal: q (T, H, D), keys and values (S, K,
/// D), positions (T); returns (T, H, D).
///
/// The row at position p attends to keys 0..=p, or the last `window` of them; S is more than p.
///
/// Source: Vaswani et al. 2017; Phuong & Hutter 2022, algorithms 4 and 5.
pub fn attention(
    q: &[f64],
    keys: &[f64],
    values: &[f64],
    positions: &[u32],
    size: AttentionSize,
) -> Vec<f64> {
    debug_assert_eq!(q.len(), positions.len() * size.heads * size.head_width);
    debug_assert_eq!(keys.len(), values.len());
    let most_keys = keys.len() / (size.kv_heads * size.head_width);
    let mut z = vec![0.0; q.len()];
    fill_runs(&mut z, size.head_width, 2 * most_keys * size.head_width, |run, z| {
        let (row, head) = (run / size.heads, run % size.heads);
        let query = &q[run * size.head_width..][..size.head_width];
        let seen = size.seen(positions[row]);
        let scores: Vec<f64> = seen.clone().map(|key| size.score(query, keys, key, head)).collect();
        for (weight, key) in softmax(&scores, scores.len()).into_iter().zip(seen) {
            add_scaled(z, size.head_of(values, key, head), weight);
        }
    });
    z
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};
    use crate::reference::{AttentionPattern, attention_mix, attention_pattern};

    const SIZE: AttentionSize = AttentionSize {
        heads: 4,
        kv_heads: 2,
        head_width: 6,
        window: None,
        scale: 0.4,
        softcap: None,
    };
    const POSITIONS: [u32; 3] = [2, 3, 4];

    /// q, keys and values for three new rows over five keys.
    fn inputs() -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let mut noise = Noise::new(8);
        (noise.values(3 * 4 * 6), noise.values(5 * 2 * 6), noise.values(5 * 2 * 6))
    }

    /// Three loops and indices, as in a textbook.
    fn naive(q: &[f64], k: &[f64], v: &[f64], positions: &[u32], size: AttentionSize) -> Vec<f64> {
        let (heads, kv, width) = (size.heads, size.kv_heads, size.head_width);
        let mut z = vec![0.0; q.len()];
        for (t, &position) in positions.iter().enumerate() {
            for h in 0..heads {
                let g = h * kv / heads;
                let (mut total, mut sums) = (0.0, vec![0.0; width]);
                for s in 0..=position as usize {
                    if size.window.is_some_and(|window| position as usize - s >= window) {
                        continue;
                    }
                    let mut score = 0.0;
                    for d in 0..width {
                        score += q[(t * heads + h) * width + d] * k[(s * kv + g) * width + d];
                    }
                    score *= size.scale;
                    if let Some(cap) = size.softcap {
                        score = cap * (score / cap).tanh();
                    }
                    let weight = score.exp();
                    total += weight;
                    for d in 0..width {
                        sums[d] += weight * v[(s * kv + g) * width + d];
                    }
                }
                for d in 0..width {
                    z[(t * heads + h) * width + d] = sums[d] / total;
                }
            }
        }
        z
    }

    #[test]
    fn fused_unfused_and_naive_agree_with_and_without_window_and_cap() {
        let (q, k, v) = inputs();
        let plain = [None, Some(1), Some(2), Some(100)].map(|window| (window, None));
        for (window, softcap) in plain.into_iter().chain([(Some(2), Some(0.5))]) {
            let size = AttentionSize { window, softcap, ..SIZE };
            let expected = naive(&q, &k, &v, &POSITIONS, size);
            assert_close(&attention(&q, &k, &v, &POSITIONS, size), &expected, 1e-12);
            let pattern = attention_pattern(&q, &k, &POSITIONS, size).pattern;
            assert_close(&attention_mix(&pattern, &v, size), &expected, 1e-12);
        }
    }

    #[test]
    fn grouped_heads_are_repeated_heads() {
        let (q, k, v) = inputs();
        let repeat = |cached: &[f64]| -> Vec<f64> {
            cached.chunks(6).flat_map(|head| [head, head].concat()).collect()
        };
        let single = AttentionSize { kv_heads: 4, ..SIZE };
        let expected = attention(&q, &repeat(&k), &repeat(&v), &POSITIONS, single);
        assert_eq!(attention(&q, &k, &v, &POSITIONS, SIZE), expected);
    }

    #[test]
    fn pattern_rows_sum_to_one_and_see_their_window_only() {
        let (q, k, _) = inputs();
        let size = AttentionSize { window: Some(2), ..SIZE };
        let AttentionPattern { scores, pattern } = attention_pattern(&q, &k, &POSITIONS, size);
        for (run, row) in pattern.chunks(5).enumerate() {
            assert_close(&[row.iter().sum()], &[1.0], 1e-14);
            let position = POSITIONS[run % 3] as usize;
            for (key, &weight) in row.iter().enumerate() {
                let seen = key <= position && position - key < 2;
                assert_eq!(weight > 0.0, seen, "row {run}, key {key}");
                assert_eq!(scores[run * 5 + key].is_finite(), seen);
            }
        }
    }

    #[test]
    fn one_key_gives_its_value() {
        let (q, k, v) = inputs();
        let z = attention(&q[..24], &k[..12], &v[..12], &[0], SIZE);
        assert_close(&z, &[&v[..6], &v[..6], &v[6..12], &v[6..12]].concat(), 1e-15);
    }
}
