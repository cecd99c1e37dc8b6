//! Twin of `gelu`.

/// GELU in its tanh form, ½x(1 + tanh(√(2/π)(x + 0.044715x³))), value by value.
///
/// Written as x / (1 + e^(−2u)), the same function, as the shader has it: there 1 + tanh would
/// lose all digits of the left tail.
///
/// Source: Hendrycks & Gimpel 2016.
pub fn gelu(x: &[f64]) -> Vec<f64> {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    x.iter()
        .map(|&x| {
            let u = root * (x + 0.044_715 * x * x * x);
            x / (1.0 + (-2.0 * u).exp())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn known_values() {
        let got = gelu(&[0.0, 1.0, -1.0, 3.0, 100.0]);
        let expected = [0.0, 0.841_191_990_6, -0.158_808_009_4, 2.996_362_607_3, 100.0];
        assert_close(&got, &expected, 1e-9);
        assert_eq!(gelu(&[-100.0])[0], 0.0);
    }

    #[test]
    fn equals_the_form_with_tanh() {
        for x in [-4.0_f64, -0.3, 1e-9, 0.7, 2.5] {
            let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            assert_close(&gelu(&[x]), &[0.5 * x * (1.0 + u.tanh())], 1e-10);
        }
    }
}
