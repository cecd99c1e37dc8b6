//! Twins of `layer_norm_backward` and `rms_norm_backward`.

use crate::reference::{divide_rows, layer_norm_center, rms_scale};

/// What a norm's input and parameters get.
#[derive(Clone, Debug, PartialEq)]
pub struct NormGradient {
    /// (T, C).
    pub x: Vec<f64>,
    /// (C).
    pub gain: Vec<f64>,
    /// (C): Σ over rows of dY, whether or not the norm has a bias.
    pub bias: Vec<f64>,
}

/// With x̂ = (x − mean) / s, s = √(var + ε) and n = dY ⊙ γ:
/// ∂x = (n − mean n − x̂ · mean(n ⊙ x̂)) / s, ∂γ = Σ dY ⊙ x̂, ∂β = Σ dY; x (T, C), gain (C).
pub fn layer_norm_backward(x: &[f64], gain: &[f32], dy: &[f64], eps: f64) -> NormGradient {
    let centred = layer_norm_center(x, gain.len());
    backward(&centred, gain, dy, eps, true)
}

/// With x̂ = x / s, s = √(mean(x²) + ε) and n = dY ⊙ γ:
/// ∂x = (n − x̂ · mean(n ⊙ x̂)) / s, ∂γ = Σ dY ⊙ x̂; x (T, C), gain (C).
pub fn rms_norm_backward(x: &[f64], gain: &[f32], dy: &[f64], eps: f64) -> NormGradient {
    backward(x, gain, dy, eps, false)
}

fn backward(x: &[f64], gain: &[f32], dy: &[f64], eps: f64, centred: bool) -> NormGradient {
    let width = gain.len();
    debug_assert_eq!(x.len(), dy.len());
    let scale = rms_scale(x, width, eps);
    let normed = divide_rows(x, &scale);
    let mut out = NormGradient { x: Vec::new(), gain: vec![0.0; width], bias: vec![0.0; width] };
    for ((normed, dy), scale) in normed.chunks_exact(width).zip(dy.chunks_exact(width)).zip(&scale)
    {
        let n: Vec<f64> = dy.iter().zip(gain).map(|(dy, gain)| dy * f64::from(*gain)).collect();
        let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / width as f64;
        let along = mean(&mut n.iter().zip(normed).map(|(n, x)| n * x));
        let level = if centred { mean(&mut n.iter().copied()) } else { 0.0 };
        out.x.extend(n.iter().zip(normed).map(|(n, x)| (n - level - x * along) / scale));
        for (i, (dy, x)) in dy.iter().zip(normed).enumerate() {
            out.gain[i] += dy * x;
            out.bias[i] += dy;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::{assert_gradient, weighed, wide};
    use crate::reference::tests::Noise;
    use crate::reference::{layer_norm, rms_norm};

    const WIDTH: usize = 9;
    const EPS: f64 = 1e-3;

    fn narrow(values: &[f64]) -> Vec<f32> {
        values.iter().map(|&value| value as f32).collect()
    }

    #[test]
    fn both_norms() {
        let mut noise = Noise::new(5);
        let (x, dy) = (noise.values(3 * WIDTH), noise.values(3 * WIDTH));
        let (gain, bias) = (noise.weights(WIDTH), noise.weights(WIDTH));
        let found = layer_norm_backward(&x, &gain, &dy, EPS);
        assert_gradient(&x, &found.x, |x| weighed(&layer_norm(x, &gain, &bias, EPS), &dy));
        let rms = rms_norm_backward(&x, &gain, &dy, EPS);
        assert_gradient(&x, &rms.x, |x| weighed(&rms_norm(x, &gain, EPS), &dy));
        // Parameters are f32, so these are linear functions by hand.
        let ones = vec![1.0; WIDTH];
        let by_gain = |normed: Vec<f64>| {
            move |gain: &[f64]| -> Vec<f64> {
                normed.iter().enumerate().map(|(i, x)| x * gain[i % WIDTH]).collect()
            }
        };
        let scaled = by_gain(layer_norm(&x, &narrow(&ones), &[0.0; WIDTH], EPS));
        assert_gradient(&wide(&gain), &found.gain, |gain| weighed(&scaled(gain), &dy));
        let scaled = by_gain(rms_norm(&x, &narrow(&ones), EPS));
        assert_gradient(&wide(&gain), &rms.gain, |gain| weighed(&scaled(gain), &dy));
        let sums: Vec<f64> = (0..WIDTH).map(|i| dy.iter().skip(i).step_by(WIDTH).sum()).collect();
        assert_eq!(found.bias, sums);
    }

    /// A shift of a row changes nothing, nor, but for ε, does its size.
    #[test]
    fn what_changes_nothing_gets_nothing() {
        let mut noise = Noise::new(6);
        let (x, dy, gain) = (noise.values(WIDTH), noise.values(WIDTH), noise.weights(WIDTH));
        let layer = layer_norm_backward(&x, &gain, &dy, 0.0).x;
        assert!(layer.iter().sum::<f64>().abs() < 1e-13);
        let rms = rms_norm_backward(&x, &gain, &dy, 0.0).x;
        assert!(weighed(&rms, &x).abs() < 1e-13);
    }
}
