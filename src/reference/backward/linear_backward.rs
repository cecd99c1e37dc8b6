//! Twin of `matmul_backward`.

use crate::reference::MatmulSize;

/// What a linear map's input and parameters get.
#[derive(Clone, Debug, PartialEq)]
pub struct MatmulGradient {
    /// ∂x = dY W, (T, inputs).
    pub x: Vec<f64>,
    /// ∂W = dYᵀ x, (outputs, inputs).
    pub weight: Vec<f64>,
    /// ∂b = Σ over rows of dY, (outputs).
    pub bias: Vec<f64>,
}

/// The gradients of y = x Wᵀ + b: x (T, inputs), W (outputs, inputs), dY (T, outputs).
pub fn matmul_backward(x: &[f64], weight: &[f32], dy: &[f64], size: MatmulSize) -> MatmulGradient {
    let MatmulSize { inputs, outputs } = size;
    debug_assert_eq!(weight.len(), outputs * inputs);
    debug_assert_eq!(x.len() * outputs, dy.len() * inputs);
    let mut out = MatmulGradient {
        x: vec![0.0; x.len()],
        weight: vec![0.0; weight.len()],
        bias: vec![0.0; outputs],
    };
    let rows = x.chunks_exact(inputs).zip(dy.chunks_exact(outputs));
    for ((x, dy), dx) in rows.zip(out.x.chunks_exact_mut(inputs)) {
        for (output, dy) in dy.iter().enumerate() {
            let row = output * inputs..(output + 1) * inputs;
            for ((dx, x), (w, dw)) in
                dx.iter_mut().zip(x).zip(weight[row.clone()].iter().zip(&mut out.weight[row]))
            {
                *dx += dy * f64::from(*w);
                *dw += dy * x;
            }
            out.bias[output] += dy;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed, wide};
    use crate::reference::tests::Noise;

    /// The same map over f64 parameters.
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
        let found = matmul_backward(&x, &weight, &dy, MatmulSize { inputs, outputs });
        let w = wide(&weight);
        assert_gradient(&x, &found.x, |x| weighed(&map(x, &w, &bias, inputs), &dy));
        assert_gradient(&w, &found.weight, |w| weighed(&map(&x, w, &bias, inputs), &dy));
        assert_gradient(&bias, &found.bias, |b| weighed(&map(&x, &w, b, inputs), &dy));
    }
}
