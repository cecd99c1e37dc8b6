//! Twin of `project`.

use super::region::{Operand, Region};

/// x = x − (x · d) d within each head, where the region says; d has the norm 1.
pub fn project(x: &mut [f64], rows: &[(u32, u32)], region: &Region, direction: Operand<'_>) {
    region.each(x, rows, direction, |x, direction| {
        let along: f64 = x.iter().zip(direction).map(|(x, d)| x * d).sum();
        for (x, d) in x.iter_mut().zip(direction) {
            *x -= along * d;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_perpendicular() {
        let region = Region {
            shape: [1, 2],
            heads_first: false,
            positions: 0..1,
            sequence: None,
            heads: 0..1,
            columns: 0..2,
        };
        let mut x = [5.0, 0.0, 5.0, 0.0];
        let direction = Operand { shape: [1, 1, 2], values: &[0.6, 0.8] };
        project(&mut x, &[(0, 0), (1, 0)], &region, direction);
        let expected: [f64; 4] = [5.0 - 1.8, -2.4, 5.0, 0.0];
        assert!(x.iter().zip(expected).all(|(x, e)| (x - e).abs() < 1e-12), "{x:?}");
    }
}
