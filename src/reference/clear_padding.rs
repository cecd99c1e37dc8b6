//! Twin of `clear_padding`.

/// Zeros after the first `columns` values of each row: x (T, `stride`), in place.
pub fn clear_padding(x: &mut [f64], columns: usize, stride: usize) {
    x.chunks_mut(stride.max(1)).for_each(|row| row[columns..].fill(0.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_and_what_follows_them_is_zero() {
        let mut rows = [1.0, 2.0, f64::NAN, 3.0, 4.0, f64::INFINITY];
        clear_padding(&mut rows, 2, 3);
        assert_eq!(rows, [1.0, 2.0, 0.0, 3.0, 4.0, 0.0]);
    }
}
