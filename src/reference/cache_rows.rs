//! Twin of `cache_rows`.

/// The keys of each row's own position: keys of one sequence (S, K, D), `slot` = K · D values per
/// position, positions (T); returns (T, K, D).
pub fn cache_rows(keys: &[f64], positions: &[u32], slot: usize) -> Vec<f64> {
    debug_assert_eq!(keys.len() % slot, 0);
    let own = |&position: &u32| &keys[position as usize * slot..][..slot];
    positions.iter().flat_map(own).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_by_position() {
        assert_eq!(
            cache_rows(&[0.0, 1.0, 2.0, 3.0], &[1, 1, 0], 2),
            [2.0, 3.0, 2.0, 3.0, 0.0, 1.0]
        );
    }
}
