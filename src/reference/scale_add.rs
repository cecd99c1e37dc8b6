//! Twin of `scale_add`.

use std::ops::Range;

use super::gather::ColumnRange;

/// x = scale · x + added, in some rows and columns of x (T, width); added (N, count) for the N
/// rows, or (count), the same for each. With a scale of 0 the old value is ignored, even a NaN.
pub fn scale_add(
    x: &mut [f64],
    width: usize,
    rows: Range<usize>,
    columns: ColumnRange,
    scale: f64,
    added: &[f64],
) {
    let ColumnRange { start, count, step } = columns;
    debug_assert!(added.len() == count || added.len() == rows.len() * count);
    for (number, row) in rows.enumerate() {
        let own = if added.len() == count { added } else { &added[number * count..][..count] };
        for (i, added) in own.iter().enumerate() {
            let value = &mut x[row * width + start + i * step];
            *value = if scale == 0.0 { *added } else { scale * *value + added };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_values_change_and_zero_ignores_the_old() {
        let mut x = [f64::NAN, 1.0, 2.0, 3.0, f64::NAN, 5.0];
        let columns = ColumnRange { start: 0, count: 2, step: 2 };
        scale_add(&mut x, 3, 1..2, columns, -2.0, &[10.0, 20.0]);
        assert_eq!(x[1..4], [1.0, 2.0, 4.0]);
        assert_eq!(x[5], 10.0);
        scale_add(&mut x, 3, 0..2, ColumnRange { count: 1, step: 1, ..columns }, 0.0, &[7.0, 8.0]);
        assert_eq!([x[0], x[3]], [7.0, 8.0]);
        assert!(x[4].is_nan());
    }
}
