//! Twin of `gather`.

/// Some columns of a row: start, start + step, ..
#[derive(Clone, Copy, Debug)]
pub struct ColumnRange {
    /// The first column.
    pub start: usize,
    /// How many.
    pub count: usize,
    /// The distance between two of them.
    pub step: usize,
}

/// Some columns of the rows in `index`: x (T, width), index (N); returns (N, count).
pub fn gather(x: &[f64], width: usize, index: &[u32], columns: ColumnRange) -> Vec<f64> {
    let mut out = Vec::with_capacity(index.len() * columns.count);
    for &row in index {
        let row = &x[row as usize * width..][..width];
        out.extend((0..columns.count).map(|i| row[columns.start + i * columns.step]));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_by_index_and_columns_by_step() {
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let every = ColumnRange { start: 0, count: 4, step: 1 };
        assert_eq!(gather(&x, 4, &[2, 0], every), [8.0, 9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 3.0]);
        let odd = ColumnRange { start: 1, count: 2, step: 2 };
        assert_eq!(gather(&x, 4, &[1, 1], odd), [5.0, 7.0, 5.0, 7.0]);
    }
}
