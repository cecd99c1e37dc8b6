//! Twin of `gated`.

use super::activate::activate;
use crate::config::Nonlinearity;

/// f(gate) ⊙ up; both (T, F), returns (T, F).
///
/// Source: Shazeer 2020.
pub fn gated(gate: &[f64], up: &[f64], function: Nonlinearity) -> Vec<f64> {
    debug_assert_eq!(gate.len(), up.len());
    activate(gate, function).iter().zip(up).map(|(open, up)| open * up).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn known_values() {
        assert_close(
            &gated(&[1.0, -1.0], &[2.0, 1.0], Nonlinearity::Silu),
            &[1.462_117_157_3, -0.268_941_421_4],
            1e-9,
        );
    }
}
