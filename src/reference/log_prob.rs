//! Twin of `log_prob`.

/// The natural log of each target's probability: logits (T, V), targets (T); gives (T).
///
/// By log-sum-exp, never as the log of a probability, which would be −∞ where that underflows.
pub fn log_prob(logits: &[f64], targets: &[u32]) -> Vec<f64> {
    let Some(vocab) = logits.len().checked_div(targets.len()) else { return Vec::new() };
    debug_assert_eq!(logits.len(), vocab * targets.len());
    let rows = logits.chunks_exact(vocab);
    rows.zip(targets).map(|(row, &id)| row[id as usize] - log_sum_exp(row)).collect()
}

/// The natural log of every probability: logits (T, V); gives (T, V).
pub fn log_softmax(logits: &[f64], vocab: usize) -> Vec<f64> {
    let mut out = logits.to_vec();
    for row in out.chunks_exact_mut(vocab) {
        let total = log_sum_exp(row);
        row.iter_mut().for_each(|x| *x -= total);
    }
    out
}

/// ln Σ eˣ, taken around the maximum so that nothing overflows.
fn log_sum_exp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::softmax;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn equals_the_log_of_softmax_where_that_exists() {
        let logits = Noise::new(6).values(2 * 11);
        let expected: Vec<f64> = softmax(&logits, 11).iter().map(|p| p.ln()).collect();
        assert_close(&log_softmax(&logits, 11), &expected, 1e-12);
        assert_close(&log_prob(&logits, &[3, 10]), &[expected[3], expected[21]], 1e-12);
    }

    #[test]
    fn hopeless_tokens_stay_finite() {
        assert_eq!(log_prob(&[0.0, -5000.0], &[1]), [-5000.0]);
    }
}
