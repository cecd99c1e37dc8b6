//! Twin of `swiglu`.

/// silu(gate) ⊙ up with silu(g) = g / (1 + e^(−g)), value by value; both (T, F), gives (T, F).
///
/// Source: Shazeer 2020.
pub fn swiglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    debug_assert_eq!(gate.len(), up.len());
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn known_values() {
        let got = swiglu(&[0.0, 1.0, -1.0, 50.0], &[9.0, 2.0, 1.0, -1.0]);
        let expected = [0.0, 2.0 * 0.731_058_578_6, -0.268_941_421_4, -50.0];
        assert_close(&got, &expected, 1e-9);
        assert_eq!(swiglu(&[-1000.0], &[1.0])[0], 0.0);
    }
}
