//! Twin of `layer_norm_center`.

/// x − mean, row by row: x (T, width); returns (T, width).
pub fn layer_norm_center(x: &[f64], width: usize) -> Vec<f64> {
    debug_assert_eq!(x.len() % width, 0);
    let mut centered = Vec::with_capacity(x.len());
    for row in x.chunks_exact(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        centered.extend(row.iter().map(|x| x - mean));
    }
    centered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_loses_its_own_mean() {
        assert_eq!(layer_norm_center(&[1.0, 3.0, 5.0, 5.0], 2), [-1.0, 1.0, 0.0, 0.0]);
    }
}
