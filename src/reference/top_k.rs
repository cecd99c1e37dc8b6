//! Twin of `top_k`.

use super::log_softmax::log_softmax;

/// The `k` most probable tokens of one row with their log-probabilities, best first; ties go to
/// the lower id. logits (V); returns at most V pairs.
pub fn top_k(logits: &[f64], k: usize) -> Vec<(u32, f64)> {
    if logits.is_empty() {
        return Vec::new();
    }
    let mut ranked: Vec<(u32, f64)> = (0..).zip(log_softmax(logits, logits.len())).collect();
    rank(&mut ranked);
    ranked.truncate(k);
    ranked
}

/// Sorts (id, value) by value, largest first, ties by the lower id.
pub(super) fn rank(tokens: &mut [(u32, f64)]) {
    tokens.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_first_and_ties_to_the_lower_id() {
        let best = top_k(&[1.0, 3.0, 3.0, 2.0, 3.0], 4);
        assert_eq!(best.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 4, 3]);
        assert!((best[0].1 - best[3].1 - 1.0).abs() < 1e-12);
        assert_eq!(top_k(&[1.0], 5).len(), 1);
    }
}
