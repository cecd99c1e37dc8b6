//! Twin of `bias_backward`.

/// ∂b = Σ over rows of dY, for a bias of any op: dY (T, outputs); returns (outputs).
pub fn bias_backward(dy: &[f64], outputs: usize) -> Vec<f64> {
    debug_assert_eq!(dy.len() % outputs, 0);
    let mut bias = vec![0.0; outputs];
    for row in dy.chunks_exact(outputs) {
        bias.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
    }
    bias
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_its_own_sum() {
        assert_eq!(bias_backward(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2), [9.0, 12.0]);
    }
}
