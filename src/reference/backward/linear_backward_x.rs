//! Twin of `linear_backward_x`.

use crate::reference::linear::LinearSize;

/// ∂x = dY W of y = x Wᵀ + b: dY (T, outputs), W (outputs, inputs); returns (T, inputs).
pub fn linear_backward_x(dy: &[f64], weight: &[f32], size: LinearSize) -> Vec<f64> {
    let LinearSize { inputs, outputs } = size;
    debug_assert_eq!((weight.len(), dy.len() % outputs), (outputs * inputs, 0));
    let mut dx = Vec::with_capacity(dy.len() / outputs * inputs);
    for dy in dy.chunks_exact(outputs) {
        let mut row = vec![0.0; inputs];
        for (dy, weights) in dy.iter().zip(weight.chunks_exact(inputs)) {
            row.iter_mut().zip(weights).for_each(|(dx, w)| *dx += dy * f64::from(*w));
        }
        dx.extend(row);
    }
    dx
}
