//! All gradients of a linear layer.

use super::bias_backward::bias_backward;
use super::linear_backward_w::linear_backward_w;
use super::linear_backward_x::linear_backward_x;
use crate::reference::linear::LinearSize;

/// The gradients of a linear layer's input and parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearGradient {
    /// ∂x = dY W, (T, inputs).
    pub x: Vec<f64>,
    /// ∂W = dYᵀ x, (outputs, inputs).
    pub weight: Vec<f64>,
    /// ∂b = Σ over rows of dY, (outputs).
    pub bias: Vec<f64>,
}

/// The gradients of y = x Wᵀ + b: x (T, inputs), W (outputs, inputs), dY (T, outputs).
pub fn linear_backward(x: &[f64], weight: &[f32], dy: &[f64], size: LinearSize) -> LinearGradient {
    LinearGradient {
        x: linear_backward_x(dy, weight, size),
        weight: linear_backward_w(dy, x, size),
        bias: bias_backward(dy, size.outputs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed, wide};
    use crate::reference::tests::Noise;

    /// The same layer with f64 parameters.
    fn map(x: &[f64], weight: &[f64], bias: &[f64], inputs: usize) -> Vec<f64> {
        let of = |x: &[f64]| -> Vec<f64> {
            let rows = weight.chunks(inputs).zip(bias);
            rows.map(|(w, b)| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() + b).collect()
        };
        x.chunks(inputs).flat_map(of).collect()
    }

    #[test]
    fn input_weights_and_bias() {
        let (inputs, outputs, rows) = (7, 5, 3);
        let mut noise = Noise::new(4);
        let (x, weight) = (noise.values(rows * inputs), noise.weights(outputs * inputs));
        let (bias, dy) = (noise.values(outputs), noise.values(rows * outputs));
        let found = linear_backward(&x, &weight, &dy, LinearSize { inputs, outputs });
        let w = wide(&weight);
        assert_gradient(&x, &found.x, |x| weighed(&map(x, &w, &bias, inputs), &dy));
        assert_gradient(&w, &found.weight, |w| weighed(&map(&x, w, &bias, inputs), &dy));
        assert_gradient(&bias, &found.bias, |b| weighed(&map(&x, &w, b, inputs), &dy));
    }
}
