//! Twin of `divide_rows`.

/// Each row divided by its scale: x (T, C), scale (T); returns (T, C).
pub fn divide_rows(x: &[f64], scale: &[f64]) -> Vec<f64> {
    let Some(width) = x.len().checked_div(scale.len()) else { return Vec::new() };
    debug_assert_eq!(x.len(), scale.len() * width);
    x.iter().enumerate().map(|(i, x)| x / scale[i / width]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_own_divisor() {
        assert_eq!(divide_rows(&[2.0, 4.0, 9.0, 3.0], &[2.0, 3.0]), [1.0, 2.0, 3.0, 1.0]);
        assert!(divide_rows(&[], &[]).is_empty());
    }
}
