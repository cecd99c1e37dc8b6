//! Twin of `layer_norm`, in the steps that have hooks.

use super::divide_rows::divide_rows;
use super::gain_bias::gain_bias;
use super::layer_norm_center::layer_norm_center;
use super::rms_scale::rms_scale;

/// (x − mean) / √(var + ε) ⊙ γ + β, row by row, the variance biased: x (T, C), gain and bias (C);
/// returns (T, C).
///
/// The variance is the mean square of the centered row, so its root is [`rms_scale`] again.
///
/// Source: Ba et al. 2016; Phuong & Hutter 2022, algorithm 6, with ε.
pub fn layer_norm(x: &[f64], gain: &[f32], bias: &[f32], eps: f64) -> Vec<f64> {
    let centered = layer_norm_center(x, gain.len());
    let scale = rms_scale(&centered, gain.len(), eps);
    gain_bias(&divide_rows(&centered, &scale), gain, Some(bias))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn rows_have_mean_zero_and_variance_one_before_gain_and_bias() {
        let mut x = Noise::new(2).values(4 * 33);
        x.iter_mut().for_each(|x| *x = 5.0 + 3.0 * *x);
        for row in layer_norm(&x, &[1.0; 33], &[0.0; 33], 0.0).chunks(33) {
            let mean = row.iter().sum::<f64>() / 33.0;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 33.0;
            assert_close(&[1.0 + mean, variance], &[1.0, 1.0], 1e-12);
        }
    }

    #[test]
    fn gain_bias_and_epsilon_act_as_written() {
        let got = layer_norm(&[1.0, 3.0], &[2.0, 3.0], &[10.0, 20.0], 3.0);
        assert_close(&got, &[10.0 - 2.0 / 2.0, 20.0 + 3.0 / 2.0], 1e-15);
    }
}
