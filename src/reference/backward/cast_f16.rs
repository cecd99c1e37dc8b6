//! Twin of `cast_f16`.

use half::f16;

/// The nearest f16 values, ties to even, and infinity from 65520 on: values (n); returns (n).
pub fn cast_f16(values: &[f32]) -> Vec<f16> {
    values.iter().map(|value| f16::from_f32(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_even_and_large_values_to_infinity() {
        let step = f32::from(f16::EPSILON);
        let cast = cast_f16(&[1.0 + step / 2.0, 1.0 + 1.5 * step, 65_519.0, 65_520.0, 2e-8]);
        let expected = [1.0, 1.0 + 2.0 * step, 65_504.0, f32::INFINITY, 0.0];
        assert_eq!(cast, expected.map(f16::from_f32));
    }
}
