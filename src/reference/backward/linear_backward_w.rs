//! Twin of `linear_backward_w`.

use crate::reference::linear::LinearSize;

/// ∂W = dYᵀ x of y = x Wᵀ + b: dY (T, outputs), x (T, inputs); returns (outputs, inputs).
pub fn linear_backward_w(dy: &[f64], x: &[f64], size: LinearSize) -> Vec<f64> {
    let LinearSize { inputs, outputs } = size;
    debug_assert_eq!(x.len() * outputs, dy.len() * inputs);
    let mut dw = vec![0.0; outputs * inputs];
    for (dy, x) in dy.chunks_exact(outputs).zip(x.chunks_exact(inputs)) {
        for (dy, row) in dy.iter().zip(dw.chunks_exact_mut(inputs)) {
            row.iter_mut().zip(x).for_each(|(dw, x)| *dw += dy * x);
        }
    }
    dw
}
