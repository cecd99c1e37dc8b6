//! The soft cap of scores and of logits.

/// cap · tanh(x / cap), value by value.
///
/// Source: Gemma Team 2024.
pub fn softcap(x: &[f64], cap: f64) -> Vec<f64> {
    x.iter().map(|x| cap * (x / cap).tanh()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::tests::assert_close;

    #[test]
    fn a_soft_cap_keeps_small_values_and_bounds_large_ones() {
        assert_close(&softcap(&[1e-3, 1e6, -1e6], 30.0), &[1e-3, 30.0, -30.0], 1e-8);
    }
}
