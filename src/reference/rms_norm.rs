//! Twin of `rms_norm`, in the steps whose values have names.

/// x / √(mean(x²) + ε) ⊙ γ, row by row: x (T, C), gain (C); gives (T, C).
///
/// Also the norm of queries and keys, a row being one head then.
pub fn rms_norm(x: &[f64], gain: &[f32], eps: f64) -> Vec<f64> {
    let scale = rms_scale(x, gain.len(), eps);
    gain_bias(&divide_rows(x, &scale), gain, None)
}

/// The divisor √(mean(x²) + ε) of each row: x (T, width); gives (T).
pub fn rms_scale(x: &[f64], width: usize, eps: f64) -> Vec<f64> {
    debug_assert_eq!(x.len() % width, 0);
    x.chunks_exact(width)
        .map(|row| (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + eps).sqrt())
        .collect()
}

/// Each row by its divisor: x (T, C), scale (T); gives (T, C).
pub fn divide_rows(x: &[f64], scale: &[f64]) -> Vec<f64> {
    let Some(width) = x.len().checked_div(scale.len()) else { return Vec::new() };
    debug_assert_eq!(x.len(), scale.len() * width);
    x.iter().enumerate().map(|(i, x)| x / scale[i / width]).collect()
}

/// x ⊙ γ + β, row by row: x (T, C), gain and bias (C); gives (T, C).
pub fn gain_bias(x: &[f64], gain: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let width = gain.len();
    debug_assert_eq!(x.len() % width, 0);
    x.iter()
        .enumerate()
        .map(|(i, x)| {
            let bias = bias.map_or(0.0, |bias| f64::from(bias[i % width]));
            x * f64::from(gain[i % width]) + bias
        })
        .collect()
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
