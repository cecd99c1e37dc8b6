//! Twin of `dropout`, for the forward and the backward pass.

use crate::reference::noise;

/// x = 0 with probability p, else x / (1 − p), of (T, C): whether a value is kept depends only on
/// the seed, the site, the step and its index t · C + c.
///
/// Source: Srivastava et al. 2014.
pub fn dropout(x: &mut [f64], probability: f64, seed: u64, site: u32, step: u32) {
    // Of 2³² words, this many drop a value: the number nearest to the probability.
    let drops = (probability * 2_f64.powi(32)).round();
    for (value, place) in x.iter_mut().zip(0..) {
        let stays = f64::from(noise(seed, site, step, place)) >= drops;
        *value = if stays { *value / (1.0 - probability) } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_fraction_is_dropped_and_different_values_at_every_step() {
        let dropped = |seed, site, step| {
            let mut x = vec![1.0; 20_000];
            dropout(&mut x, 0.1, seed, site, step);
            assert!(x.iter().all(|x| *x == 0.0 || (*x - 1.0 / 0.9).abs() < 1e-12));
            x
        };
        let first = dropped(1, 0, 0);
        let share = first.iter().filter(|x| **x == 0.0).count() as f64 / 20_000.0;
        assert!((share - 0.1).abs() < 0.01, "{share}");
        assert_eq!(first, dropped(1, 0, 0));
        for other in [dropped(2, 0, 0), dropped(1, 1, 0), dropped(1, 0, 1)] {
            assert_ne!(first, other);
        }
        let mut all = vec![3.0; 9];
        dropout(&mut all, 0.0, 1, 2, 3);
        assert_eq!(all, [3.0; 9]);
    }
}
