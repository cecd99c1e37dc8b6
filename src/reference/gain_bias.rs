//! Twin of `gain_bias`.

/// x ⊙ γ + β, row by row: x (T, C), gain and bias (C); returns (T, C).
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

    #[test]
    fn the_bias_follows_the_gain() {
        assert_eq!(gain_bias(&[1.0, 2.0], &[3.0, 4.0], Some(&[10.0, 20.0])), [13.0, 28.0]);
        assert_eq!(gain_bias(&[1.0, 2.0], &[3.0, 4.0], None), [3.0, 8.0]);
    }
}
