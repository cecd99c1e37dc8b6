//! Natural logarithms of probabilities, for several twins.

/// The natural log of every probability: logits (T, V); returns (T, V).
pub fn log_softmax(logits: &[f64], vocab: usize) -> Vec<f64> {
    let mut out = logits.to_vec();
    for row in out.chunks_exact_mut(vocab) {
        let total = log_sum_exp(row);
        row.iter_mut().for_each(|x| *x -= total);
    }
    out
}

/// ln Σ eˣ, relative to the maximum so that nothing overflows.
pub(super) fn log_sum_exp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + row.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}
