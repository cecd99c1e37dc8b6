//! Twin of `rms_scale`.

/// The divisor √(mean(x²) + ε) of each row: x (T, width); returns (T).
pub fn rms_scale(x: &[f64], width: usize, eps: f64) -> Vec<f64> {
    debug_assert_eq!(x.len() % width, 0);
    x.chunks_exact(width)
        .map(|row| (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + eps).sqrt())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epsilon_is_added_to_the_mean_square() {
        assert_eq!(rms_scale(&[3.0, 4.0, 0.0, 0.0], 2, 12.5), [5.0, 12.5_f64.sqrt()]);
    }
}
