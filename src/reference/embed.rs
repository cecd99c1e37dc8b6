//! Twin of `embed`.

/// The table's row of each id: ids (T), table (V, C); returns (T, C).
///
/// Learned positions are a table too.
pub fn embed(ids: &[u32], table: &[f32], width: usize) -> Vec<f64> {
    let mut out = Vec::with_capacity(ids.len() * width);
    for &id in ids {
        let row = &table[id as usize * width..][..width];
        out.extend(row.iter().map(|&value| f64::from(value)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_taken_by_id() {
        let table = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(embed(&[2, 0, 2], &table, 2), [4.0, 5.0, 0.0, 1.0, 4.0, 5.0]);
    }
}
