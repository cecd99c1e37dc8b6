//! Twin of `gain_backward`.

/// ∂γ = Σ over rows of dY ⊙ (x − mean) / s of a norm y = (x − mean) / s ⊙ γ + β: x and dY (T, C),
/// stats (T, 2) as [`norm_backward`](super::norm_backward) returns them, mean and 1 / s; returns
/// (C).
pub fn gain_backward(x: &[f64], dy: &[f64], stats: &[f64], width: usize) -> Vec<f64> {
    debug_assert_eq!((x.len(), stats.len() * width), (dy.len(), 2 * x.len()));
    let mut gain = vec![0.0; width];
    for (row, stats) in stats.chunks_exact(2).enumerate() {
        let own = row * width..(row + 1) * width;
        for ((sum, x), dy) in gain.iter_mut().zip(&x[own.clone()]).zip(&dy[own]) {
            *sum += dy * (x - stats[0]) * stats[1];
        }
    }
    gain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Norm;
    use crate::reference::backward::norm_backward;
    use crate::reference::backward::tests::{assert_gradient, weighed, wide};
    use crate::reference::tests::Noise;
    use crate::reference::{layer_norm, rms_norm};

    const WIDTH: usize = 9;
    const EPS: f64 = 1e-3;

    #[test]
    fn gains_of_both_norms() {
        let mut noise = Noise::new(5);
        let (x, dy) = (noise.values(3 * WIDTH), noise.values(3 * WIDTH));
        let gain = noise.weights(WIDTH);
        let ones = [1.0; WIDTH];
        let normed = [layer_norm(&x, &ones, &[0.0; WIDTH], EPS), rms_norm(&x, &ones, EPS)];
        for (kind, normed) in [Norm::LayerNorm, Norm::RmsNorm].into_iter().zip(normed) {
            let stats = norm_backward(&x, &gain, &dy, EPS, kind).stats;
            let found = gain_backward(&x, &dy, &stats, WIDTH);
            // Gains are f32 there, so this is the same function by hand.
            let scaled = |gain: &[f64]| -> Vec<f64> {
                normed.iter().enumerate().map(|(i, x)| x * gain[i % WIDTH]).collect()
            };
            assert_gradient(&wide(&gain), &found, |gain| weighed(&scaled(gain), &dy));
        }
    }
}
