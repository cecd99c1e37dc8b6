//! Twin of `activate`: activation functions.

use crate::config::Nonlinearity;

/// f(x), value by value.
///
/// Source: Hendrycks & Gimpel 2016.
pub fn activate(x: &[f64], function: Nonlinearity) -> Vec<f64> {
    x.iter().map(|&x| of(x, function)).collect()
}

fn of(x: f64, function: Nonlinearity) -> f64 {
    match function {
        // Written as x / (1 + e^(−2u)), the same function: 1 + tanh u would lose all digits of the
        // left tail.
        Nonlinearity::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let u = root * (x + 0.044_715 * x * x * x);
            x / (1.0 + (-2.0 * u).exp())
        }
        Nonlinearity::Gelu => 0.5 * x * erfc(-x / std::f64::consts::SQRT_2),
        Nonlinearity::Silu => x / (1.0 + (-x).exp()),
    }
}

/// 1 − erf(z): by the series of erf whose terms all have one sign; for large z by its continued
/// fraction, since the difference would cancel.
///
/// Source: Abramowitz & Stegun 1964, 7.1.6 and 7.1.14.
fn erfc(z: f64) -> f64 {
    if z < 0.0 {
        return 2.0 - erfc(-z);
    }
    let bell = (-z * z).exp() / std::f64::consts::PI.sqrt();
    if z < 2.5 {
        let (mut term, mut sum) = (2.0 * z, 0.0);
        for n in 1..100 {
            sum += term;
            term *= 2.0 * z * z / f64::from(2 * n + 1);
        }
        return 1.0 - bell * sum;
    }
    // From the innermost fraction outwards: z + (1/2)/(z + 1/(z + (3/2)/(z + ...))).
    let fraction = (1..100).rev().fold(z, |below, n| z + f64::from(n) / 2.0 / below);
    bell / fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn known_values() {
        let x = [0.0, 1.0, -1.0, 3.0, 100.0];
        let tanh = [0.0, 0.841_191_990_6, -0.158_808_009_4, 2.996_362_607_3, 100.0];
        assert_close(&activate(&x, Nonlinearity::GeluTanh), &tanh, 1e-9);
        let exact = [0.0, 0.841_344_746_07, -0.158_655_253_93, 2.995_950_305_91, 100.0];
        assert_close(&activate(&x, Nonlinearity::Gelu), &exact, 1e-10);
        let silu = [0.0, 0.731_058_578_6, -0.268_941_421_4, 2.857_722_380_4, 100.0];
        assert_close(&activate(&x, Nonlinearity::Silu), &silu, 1e-9);
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            assert_eq!(activate(&[-1000.0], function)[0], 0.0);
        }
    }

    #[test]
    fn the_complementary_error_function_is_right_on_both_branches() {
        let z = [0.5, 2.0, 2.499_999, 2.500_001, 3.0, 5.0, -1.0];
        let known = [
            0.479_500_122_186_953_5,
            0.004_677_734_981_047_266,
            4.069_541_957_345_353e-4,
            4.069_498_391_661_74e-4,
            2.209_049_699_858_544e-5,
            1.537_459_794_428_035e-12,
            1.842_700_792_949_715,
        ];
        for (z, known) in z.into_iter().zip(known) {
            let error = (erfc(z) / known - 1.0).abs();
            assert!(error < 1e-11, "{z}: {error:e}");
        }
    }

    #[test]
    fn gelus_tanh_form_equals_itself_written_with_tanh() {
        for x in [-4.0_f64, -0.3, 1e-9, 0.7, 2.5] {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            let got = activate(&[x], Nonlinearity::GeluTanh);
            assert_close(&got, &[0.5 * x * (1.0 + u.tanh())], 1e-10);
        }
    }
}
