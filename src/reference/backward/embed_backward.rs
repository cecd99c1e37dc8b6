//! Twin of `embed_backward`.

/// ∂table of rows taken by id: each row of the table gets the sum of dy over the rows with its id,
/// in order. ids (T), dy (T, C); returns (V, C).
pub fn embed_backward(ids: &[u32], dy: &[f64], vocab: usize, width: usize) -> Vec<f64> {
    debug_assert_eq!(dy.len(), ids.len() * width);
    let mut table = vec![0.0; vocab * width];
    for (&id, dy) in ids.iter().zip(dy.chunks_exact(width)) {
        let row = &mut table[id as usize * width..][..width];
        row.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_come_twice_get_both() {
        let table = embed_backward(&[2, 0, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 4, 2);
        assert_eq!(table, [3.0, 4.0, 0.0, 0.0, 6.0, 8.0, 0.0, 0.0]);
    }
}
