//! Twin of `attention_backward`.

use crate::reference::attention_mix::attention_mix;
use crate::reference::attention_pattern::attention_pattern;
use crate::reference::attention_size::AttentionSize;
use crate::reference::dot::{add_scaled, dot};

/// The gradients of queries, keys and values.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionGradient {
    /// (T, H, D).
    pub q: Vec<f64>,
    /// (S, K, D): the sum over the query heads that share a key head.
    pub keys: Vec<f64>,
    /// (S, K, D).
    pub values: Vec<f64>,
}

/// The gradients of z = A V with A = softmax(s), s = softcap(scale · q Kᵀ), by dz (T, H, D):
///
/// ∂V = Aᵀ dz; ∂A = dz Vᵀ; ∂s = A ⊙ (∂A − rowsum(∂A ⊙ A)), in which the sum is rowsum(dz ⊙ z);
/// before the cap ∂s shrinks by 1 − (s / cap)²; ∂q = scale · ∂s K; ∂K = scale · ∂sᵀ q.
pub fn attention_backward(
    q: &[f64],
    keys: &[f64],
    values: &[f64],
    positions: &[u32],
    dz: &[f64],
    size: AttentionSize,
) -> AttentionGradient {
    let AttentionSize { heads, kv_heads, head_width: width, scale, softcap, .. } = size;
    debug_assert_eq!((q.len(), keys.len()), (dz.len(), values.len()));
    let (rows, all_keys) = (positions.len(), keys.len() / (kv_heads * width));
    let found = attention_pattern(q, keys, positions, size);
    let z = attention_mix(&found.pattern, values, size);
    let mut out = AttentionGradient {
        q: vec![0.0; q.len()],
        keys: vec![0.0; keys.len()],
        values: vec![0.0; values.len()],
    };
    for run in 0..rows * heads {
        let (row, head) = (run / heads, run % heads);
        let own = run * width..(run + 1) * width;
        let through = dot(&dz[own.clone()], &z[own.clone()]);
        for key in 0..all_keys {
            let at = (head * rows + row) * all_keys + key;
            let (share, score) = (found.pattern[at], found.scores[at]);
            if share == 0.0 {
                continue;
            }
            let there = size.place_of(key, head);
            add_scaled(&mut out.values[there.clone()], &dz[own.clone()], share);
            let mut ds = share * (dot(&dz[own.clone()], &values[there.clone()]) - through);
            ds *= softcap.map_or(1.0, |cap| 1.0 - (score / cap).powi(2));
            add_scaled(&mut out.q[own.clone()], &keys[there.clone()], scale * ds);
            add_scaled(&mut out.keys[there], &q[own.clone()], scale * ds);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::attention;
    use crate::reference::backward::tests::{assert_gradient, weighed};
    use crate::reference::tests::Noise;

    #[test]
    fn queries_keys_and_values() {
        for (heads, kv_heads, window, softcap) in
            [(1, 1, None, None), (4, 2, None, None), (3, 1, Some(2), None), (2, 2, None, Some(0.7))]
        {
            let (width, rows) = (3, 5);
            let size =
                AttentionSize { heads, kv_heads, head_width: width, window, scale: 0.9, softcap };
            let mut noise = Noise::new(9);
            let (q, dz) = (noise.values(rows * heads * width), noise.values(rows * heads * width));
            let [keys, values] = [(); 2].map(|()| noise.values(rows * kv_heads * width));
            let at: Vec<u32> = (0..rows as u32).collect();
            let found = attention_backward(&q, &keys, &values, &at, &dz, size);
            let loss =
                |q: &[f64], k: &[f64], v: &[f64]| weighed(&attention(q, k, v, &at, size), &dz);
            assert_gradient(&q, &found.q, |q| loss(q, &keys, &values));
            assert_gradient(&keys, &found.keys, |k| loss(&q, k, &values));
            assert_gradient(&values, &found.values, |v| loss(&q, &keys, v));
        }
    }

    /// Adding the same vector to every key changes nothing: all scores of a row change equally.
    #[test]
    fn a_bias_of_keys_has_no_gradient() {
        let size = AttentionSize {
            heads: 2,
            kv_heads: 1,
            head_width: 4,
            window: None,
            scale: 0.5,
            softcap: None,
        };
        let mut noise = Noise::new(10);
        let (q, dz) = (noise.values(48), noise.values(48));
        let [keys, values] = [(); 2].map(|()| noise.values(24));
        let found = attention_backward(&q, &keys, &values, &[0, 1, 2, 3, 4, 5], &dz, size);
        for i in 0..4 {
            let sum: f64 = found.keys.iter().skip(i).step_by(4).sum();
            assert!(sum.abs() < 1e-14, "{sum}");
        }
    }
}
