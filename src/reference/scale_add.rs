//! Twin of `scale_add`.

use super::region::{Operand, Region};

/// x = scale · x + added, where the region says. With a scale of 0 the old value is ignored, even a
/// NaN.
pub fn scale_add(
    x: &mut [f64],
    rows: &[(u32, u32)],
    region: &Region,
    scale: f64,
    added: Operand<'_>,
) {
    region.each(x, rows, added, |x, added| {
        for (x, added) in x.iter_mut().zip(added) {
            *x = if scale == 0.0 { *added } else { scale * *x + added };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_values_change_and_zero_ignores_the_old() {
        let rows = [(4, 0), (5, 0), (5, 1)];
        let region = Region {
            shape: [2, 2],
            heads_first: false,
            positions: 5..6,
            sequence: Some(0),
            heads: 1..2,
            columns: 0..1,
        };
        let nan = f64::NAN;
        let mut x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, nan, 8.0, 9.0, 10.0, 11.0, 12.0];
        let before = x;
        scale_add(&mut x, &rows, &region, 0.0, Operand { shape: [1, 1, 1], values: &[7.0] });
        assert_eq!((x[6], &x[..6], &x[7..]), (7.0, &before[..6], &before[7..]));
        let region =
            Region { positions: 4..6, sequence: None, heads: 0..2, columns: 0..2, ..region };
        let added: Vec<f64> = (0..8).map(f64::from).collect();
        let added = Operand { shape: [2, 2, 2], values: &added };
        scale_add(&mut x, &rows, &region, -2.0, added);
        let later = [-6.0, -7.0, -8.0, -9.0];
        assert_eq!(
            x,
            [
                -2.0, -3.0, -4.0, -5.0, later[0], later[1], later[2], later[3], -14.0, -15.0,
                -16.0, -17.0
            ]
        );
        // With the heads first, (2, 3, 2), head 1 is the second half.
        let region = Region { heads_first: true, heads: 1..2, positions: 5..6, ..region };
        let mut x = [0.0; 12];
        scale_add(&mut x, &rows, &region, 1.0, Operand { shape: [1, 1, 2], values: &[1.0, 2.0] });
        assert_eq!(x, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 1.0, 2.0]);
    }
}
