//! Twin of `softmax`.

/// e^(x − max) / Σ e^(x − max), row by row: x (T, width); returns (T, width).
///
/// A value of −∞ has probability 0. A row of nothing else has no largest value to compare with: all of
/// it is 0.
pub fn softmax(x: &[f64], width: usize) -> Vec<f64> {
    let mut out = x.to_vec();
    for row in out.chunks_exact_mut(width) {
        if row.iter().all(|x| *x == f64::NEG_INFINITY) {
            row.fill(0.0);
            continue;
        }
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.iter_mut().for_each(|x| *x = (*x - max).exp());
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|x| *x /= sum);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn rows_sum_to_one_and_a_shift_changes_nothing() {
        let x = Noise::new(5).values(4 * 19);
        let shifted: Vec<f64> = x.iter().map(|x| x + 1000.0).collect();
        let got = softmax(&x, 19);
        for row in got.chunks(19) {
            assert_close(&[row.iter().sum()], &[1.0], 1e-14);
        }
        assert_close(&softmax(&shifted, 19), &got, 1e-11);
    }

    #[test]
    fn masked_values_get_nothing() {
        assert_eq!(softmax(&[2.0, f64::NEG_INFINITY, 2.0], 3), [0.5, 0.0, 0.5]);
    }

    #[test]
    fn a_row_of_masked_values_only_is_a_row_of_zeros() {
        let hidden = f64::NEG_INFINITY;
        assert_eq!(softmax(&[hidden, hidden, 1.0, 1.0], 2), [0.0, 0.0, 0.5, 0.5]);
        // What is no number stays none.
        assert!(softmax(&[f64::NAN, 1.0, f64::NAN, hidden], 2).iter().all(|p| p.is_nan()));
    }
}
