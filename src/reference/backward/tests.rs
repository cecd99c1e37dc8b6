//! Finite differences, with which every derivative is compared.

use crate::measure;

/// Half the width of a finite difference: the truncation error is then about that of rounding.
const STEP: f64 = 1e-5;

/// Fails unless `gradient` equals the finite differences of `loss`, value by value.
#[track_caller]
pub(super) fn assert_gradient(x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(x.len(), gradient.len());
    let largest = measure::largest(gradient.iter().map(|g| g.abs())).max(1e-3);
    for (i, found) in gradient.iter().enumerate() {
        let at = |step: f64| {
            let mut moved = x.to_vec();
            moved[i] += step;
            loss(&moved)
        };
        let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
        let error = (found - expected).abs() / largest;
        assert!(error < 1e-7, "value {i}: {found} is not {expected}, error {error:e}");
    }
}

/// Σ y · w: a loss whose derivative by y is w.
pub(super) fn weighed(y: &[f64], w: &[f64]) -> f64 {
    assert_eq!(y.len(), w.len());
    y.iter().zip(w).map(|(y, w)| y * w).sum()
}

/// Parameters, which twins take as f32, exactly as f64.
pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
