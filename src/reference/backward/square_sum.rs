//! Twin of `square_sum`.

/// Partial sums of x²: one for each `most` values of x (n).
pub fn square_sum(x: &[f64], most: usize) -> Vec<f64> {
    x.chunks(most).map(|part| part.iter().map(|x| x * x).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_its_own_sum() {
        assert_eq!(square_sum(&[1.0, 2.0, 3.0, 4.0, 5.0], 2), [5.0, 25.0, 25.0]);
    }
}
