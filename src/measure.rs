//! How far computed values are from expected ones.
//!
//! Tests and self-tests compare a distance with a bound, and every comparison with NaN is false. So
//! nothing here returns NaN: a value that is NaN, or missing, is infinitely far away and fails any
//! bound.

/// The largest |found − expected|; 0 for two empty slices.
///
/// The distance of equal infinities is 0: a masked score is −∞ on both sides. A NaN on either side
/// or slices of unequal lengths give infinity.
pub fn furthest<A, B>(found: &[A], expected: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    largest(pairs.map(|(found, expected)| distance((*found).into(), (*expected).into())))
}

/// ‖found − expected‖ / ‖expected‖ in the L2 norm.
///
/// The divisor is at least the smallest normal f32, since kernels may flush smaller values to zero.
/// Infinite where [`furthest`] is, and if a value on either side is infinite.
pub fn relative_error<A, B>(found: &[A], expected: &[B]) -> f64
where
    A: Copy + Into<f64>,
    B: Copy + Into<f64>,
{
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let pairs = found.iter().zip(expected);
    let gap: f64 =
        pairs.map(|(found, expected)| ((*found).into() - (*expected).into()).powi(2)).sum();
    let size: f64 = expected.iter().map(|expected| (*expected).into().powi(2)).sum();
    or_infinite(gap.sqrt() / size.sqrt().max(f64::from(f32::MIN_POSITIVE)))
}

/// The largest of some distances or errors; 0 if there are none. Infinite if one of them is NaN,
/// which `f64::max` would drop.
pub fn largest(errors: impl IntoIterator<Item = f64>) -> f64 {
    errors.into_iter().map(or_infinite).fold(0.0, f64::max)
}

/// |found − expected|; 0 if both are the same infinity, infinite if either is NaN.
fn distance(found: f64, expected: f64) -> f64 {
    if found == expected { 0.0 } else { or_infinite((found - expected).abs()) }
}

fn or_infinite(error: f64) -> f64 {
    if error.is_nan() { f64::INFINITY } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_furthest_value_counts() {
        assert_eq!(furthest(&[1.0f32, 2.0, 3.0], &[1.0, 2.5, 2.75]), 0.5);
        assert_eq!(furthest(&[0f32; 0], &[0f64; 0]), 0.0);
    }

    #[test]
    fn relative_errors_are_of_whole_vectors() {
        assert_eq!(relative_error(&[3.0, 5.0], &[3.0, 4.0]), 0.2);
        assert_eq!(relative_error(&[0.0], &[0.0]), 0.0);
        assert!(relative_error(&[1e-3], &[0.0]) > 1e30, "next to nothing, any value is far");
    }

    #[test]
    fn a_nan_anywhere_fails_every_bound() {
        for at in 0..3 {
            let mut found = [1.0f32, 2.0, 3.0];
            found[at] = f32::NAN;
            let expected = [1.0f64, 2.0, 3.0];
            for error in [
                furthest(&found, &expected),
                furthest(&expected, &found),
                furthest(&found, &found),
                relative_error(&found, &expected),
                relative_error(&expected, &found),
                relative_error(&found, &found),
                largest(found.map(f64::from)),
            ] {
                assert_eq!(error, f64::INFINITY, "NaN at {at}");
            }
        }
        assert_eq!(furthest(&[f32::NAN; 3], &[0.0f64; 3]), f64::INFINITY);
    }

    #[test]
    fn missing_values_fail_every_bound() {
        assert_eq!(furthest(&[1.0], &[1.0, 2.0]), f64::INFINITY);
        assert_eq!(furthest::<f32, f32>(&[], &[1.0]), f64::INFINITY);
        assert_eq!(relative_error(&[1.0, 2.0], &[1.0]), f64::INFINITY);
    }

    #[test]
    fn infinities_agree_only_with_themselves() {
        let masked = [f32::NEG_INFINITY, 1.0];
        assert_eq!(furthest(&masked, &masked), 0.0);
        assert_eq!(furthest(&masked, &[f32::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(furthest(&masked, &[0.0f64, 1.0]), f64::INFINITY);
        assert_eq!(relative_error(&masked, &masked), f64::INFINITY);
    }
}
