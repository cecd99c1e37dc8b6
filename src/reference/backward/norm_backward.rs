//! Twin of `norm_backward`, of either kind of norm.

use crate::config::Norm;
use crate::reference::{divide_rows, layer_norm_center, rms_scale};

/// The gradient of a norm's input, and the statistics for [`gain_backward`](super::gain_backward).
#[derive(Clone, Debug, PartialEq)]
pub struct NormGradient {
    /// ∂x, (T, C).
    pub x: Vec<f64>,
    /// For each row the mean that is subtracted, 0 for [`Norm::RmsNorm`], and 1 / s, (T, 2).
    pub stats: Vec<f64>,
}

/// The gradient of y = x̂ ⊙ γ + β: x (T, C), gain (C), dY (T, C).
///
/// With x̂ = (x − mean) / s, s = √(var + ε) and n = dY ⊙ γ: ∂x = (n − mean n − x̂ · mean(n ⊙ x̂)) /
/// s. For [`Norm::RmsNorm`] no mean is subtracted from x or n.
pub fn norm_backward(x: &[f64], gain: &[f32], dy: &[f64], eps: f64, kind: Norm) -> NormGradient {
    let width = gain.len();
    debug_assert_eq!(x.len(), dy.len());
    let centered = match kind {
        Norm::LayerNorm => layer_norm_center(x, width),
        Norm::RmsNorm => x.to_vec(),
    };
    let scale = rms_scale(&centered, width, eps);
    let normed = divide_rows(&centered, &scale);
    let mut out = NormGradient { x: Vec::new(), stats: Vec::new() };
    for (row, scale) in scale.iter().enumerate() {
        let own = row * width..(row + 1) * width;
        let (normed, dy) = (&normed[own.clone()], &dy[own.clone()]);
        let n: Vec<f64> = dy.iter().zip(gain).map(|(dy, gain)| dy * f64::from(*gain)).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / width as f64;
        let along = mean(&mut n.iter().zip(normed).map(|(n, x)| n * x));
        let (level, off) = match kind {
            Norm::LayerNorm => (mean(&mut n.iter().copied()), mean(&mut x[own].iter().copied())),
            Norm::RmsNorm => (0.0, 0.0),
        };
        out.x.extend(n.iter().zip(normed).map(|(n, x)| (n - level - x * along) / scale));
        out.stats.extend([off, 1.0 / scale]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed};
    use crate::reference::tests::Noise;
    use crate::reference::{layer_norm, rms_norm};

    const WIDTH: usize = 9;
    const EPS: f64 = 1e-3;

    #[test]
    fn both_norms() {
        let mut noise = Noise::new(5);
        let (x, dy) = (noise.values(3 * WIDTH), noise.values(3 * WIDTH));
        let (gain, bias) = (noise.weights(WIDTH), noise.weights(WIDTH));
        let found = norm_backward(&x, &gain, &dy, EPS, Norm::LayerNorm);
        assert_gradient(&x, &found.x, |x| weighed(&layer_norm(x, &gain, &bias, EPS), &dy));
        let rms = norm_backward(&x, &gain, &dy, EPS, Norm::RmsNorm);
        assert_gradient(&x, &rms.x, |x| weighed(&rms_norm(x, &gain, EPS), &dy));
    }

    /// A layer norm ignores shifts of a row, and an RMS norm, except for ε, its scale.
    #[test]
    fn directions_without_effect_have_no_gradient() {
        let mut noise = Noise::new(6);
        let (x, dy, gain) = (noise.values(WIDTH), noise.values(WIDTH), noise.weights(WIDTH));
        let layer = norm_backward(&x, &gain, &dy, 0.0, Norm::LayerNorm).x;
        assert!(layer.iter().sum::<f64>().abs() < 1e-13);
        let rms = norm_backward(&x, &gain, &dy, 0.0, Norm::RmsNorm).x;
        assert!(weighed(&rms, &x).abs() < 1e-13);
    }
}
