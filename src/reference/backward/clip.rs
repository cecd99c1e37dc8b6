//! Twin of `clip`.

/// The norm of all gradients together, and how they are scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clipped {
    /// The factor that makes the norm at most `most`; 1 if `most` is 0.
    pub factor: f64,
    /// The L2 norm of all gradients together.
    pub length: f64,
    /// Whether the norm is finite: if not, no parameter changes.
    pub finite: bool,
}

/// min(1, most / norm), from the sums of squares of [`square_sum`](super::square_sum).
///
/// Source: Pascanu et al. 2013.
pub fn clip(squares: &[f64], most: f64) -> Clipped {
    let length = squares.iter().sum::<f64>().sqrt();
    let factor = if most > 0.0 && length > most { most / length } else { 1.0 };
    Clipped { factor, length, finite: length.is_finite() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_cut_and_short_ones_stay() {
        assert_eq!(clip(&[9.0, 16.0], 1.0), Clipped { factor: 0.2, length: 5.0, finite: true });
        assert_eq!(clip(&[0.09, 0.16], 1.0).factor, 1.0);
        assert_eq!(clip(&[9.0, 16.0], 0.0).factor, 1.0);
        assert!(!clip(&[1.0, f64::NAN], 1.0).finite);
    }
}
