//! Ratios of paired measurements: their median, and how certain it is.

use serde::Serialize;

/// The ratios of pairs.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ratio {
    /// Their median.
    pub(super) ratio: f64,
    /// Two of them that hold the true median between them with 95 % confidence or more; null for
    /// fewer than six pairs, which cannot.
    pub(super) interval: Option<[f64; 2]>,
    ratios: Vec<f64>,
}

impl Ratio {
    pub(super) fn new(ratios: Vec<f64>) -> Self {
        let mut sorted = ratios.clone();
        sorted.sort_by(f64::total_cmp);
        let interval =
            outside(sorted.len()).map(|out| [sorted[out], sorted[sorted.len() - 1 - out]]);
        Self { ratio: median(&ratios), interval, ratios }
    }
}

/// The median of some numbers, at least one.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let even = sorted.len().is_multiple_of(2);
    if even { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// How many of the smallest and of the largest of `count` values the interval leaves out. Each value
/// is below the true median with probability 1/2, whatever the distribution: k or fewer of them are
/// with P(Binomial(count, 1/2) ≤ k), which may be 2.5 % on either side.
fn outside(count: usize) -> Option<usize> {
    let (mut ways, mut tail) = (1.0, 0.0);
    let all = 2_f64.powi(count as i32);
    let mut out = None;
    for k in 0..count / 2 {
        tail += ways / all;
        if tail > 0.025 {
            break;
        }
        out = Some(k);
        ways *= (count - k) as f64 / (k + 1) as f64;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_sign_test() {
        // From tables: third to tenth of twelve (96.1 %), sixth to fifteenth of twenty (95.9 %).
        for (count, out) in [(5, None), (6, Some(0)), (8, Some(0)), (12, Some(2)), (20, Some(5))] {
            assert_eq!(outside(count), out, "{count}");
        }
        let ratio = Ratio::new((0..12).rev().map(f64::from).collect());
        assert_eq!((ratio.ratio, ratio.interval), (5.5, Some([2.0, 9.0])));
        assert_eq!(Ratio::new(vec![3.0, 1.0, 2.0]).ratio, 2.0);
    }
}
