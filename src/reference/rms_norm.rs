//! Twin of `rms_norm`, in the steps that have hooks.

use super::divide_rows::divide_rows;
use super::gain_bias::gain_bias;
use super::rms_scale::rms_scale;

/// x / √(mean(x²) + ε) ⊙ γ, row by row: x (T, C), gain (C); returns (T, C).
///
/// Also the norm of queries or keys per head; a row is then one head.
///
/// Source: Zhang & Sennrich 2019.
pub fn rms_norm(x: &[f64], gain: &[f32], eps: f64) -> Vec<f64> {
    let scale = rms_scale(x, gain.len(), eps);
    gain_bias(&divide_rows(x, &scale), gain, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn rows_have_mean_square_one_before_the_gain() {
        let x = Noise::new(1).values(3 * 50);
        for row in rms_norm(&x, &[1.0; 50], 0.0).chunks(50) {
            assert_close(&[row.iter().map(|x| x * x).sum::<f64>() / 50.0], &[1.0], 1e-12);
        }
    }

    #[test]
    fn gain_and_epsilon_act_as_written() {
        let expected = [3.0 / 13.5_f64.sqrt() * 2.0, 4.0 / 13.5_f64.sqrt() * 3.0];
        assert_close(&rms_norm(&[3.0, 4.0], &[2.0, 3.0], 1.0), &expected, 1e-15);
    }
}
