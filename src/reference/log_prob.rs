//! Twin of `log_prob`.

use super::log_softmax::log_sum_exp;

/// The natural log of each target's probability: logits (T, V), targets (T); returns (T).
///
/// By log-sum-exp, never as the log of a probability, which would be −∞ if that underflows.
pub fn log_prob(logits: &[f64], targets: &[u32]) -> Vec<f64> {
    let Some(vocab) = logits.len().checked_div(targets.len()) else { return Vec::new() };
    debug_assert_eq!(logits.len(), vocab * targets.len());
    let rows = logits.chunks_exact(vocab);
    rows.zip(targets).map(|(row, &id)| row[id as usize] - log_sum_exp(row)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};
    use crate::reference::{log_softmax, softmax};

    #[test]
    fn equals_the_log_of_softmax_where_that_exists() {
        let logits = Noise::new(6).values(2 * 11);
        let expected: Vec<f64> = softmax(&logits, 11).iter().map(|p| p.ln()).collect();
        assert_close(&log_softmax(&logits, 11), &expected, 1e-12);
        assert_close(&log_prob(&logits, &[3, 10]), &[expected[3], expected[21]], 1e-12);
    }

    #[test]
    fn improbable_tokens_stay_finite() {
        assert_eq!(log_prob(&[0.0, -5000.0], &[1]), [-5000.0]);
    }
}
