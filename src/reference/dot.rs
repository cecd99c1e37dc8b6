//! Vector products that several twins use.

/// Σ x·w over two slices of equal length.
///
/// Eight partial sums run in parallel, because in a single sum every addition waits for the
/// previous one. The order is fixed, so the result is too.
pub(super) fn dot(x: &[f64], w: &[f64]) -> f64 {
    debug_assert_eq!(x.len(), w.len());
    let (x_blocks, x_rest) = x.as_chunks::<8>();
    let (w_blocks, w_rest) = w.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (x, w) in x_blocks.iter().zip(w_blocks) {
        for i in 0..8 {
            sums[i] += x[i] * w[i];
        }
    }
    let rest: f64 = x_rest.iter().zip(w_rest).map(|(x, w)| x * w).sum();
    sums.iter().sum::<f64>() + rest
}

/// sum += weight · values.
pub(super) fn add_scaled(sum: &mut [f64], values: &[f64], weight: f64) {
    debug_assert_eq!(sum.len(), values.len());
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
}
