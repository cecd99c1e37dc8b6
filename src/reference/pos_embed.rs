//! Twin of `pos_embed`.

/// The learned vector of each row's position: positions (T), table (P, C); returns (T, C).
pub fn pos_embed(positions: &[u32], table: &[f32], width: usize) -> Vec<f64> {
    let row = |&position: &u32| &table[position as usize * width..][..width];
    positions.iter().flat_map(row).map(|&value| f64::from(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_position() {
        assert_eq!(pos_embed(&[1, 0], &[0.0, 1.0, 2.0, 3.0], 2), [2.0, 3.0, 0.0, 1.0]);
    }
}
