//! Helpers of the twins' tests.

use crate::noise::noise;

/// Seeded numbers, uniform in −1..1.
pub(super) struct Noise {
    seed: u64,
    drawn: u32,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn values(&mut self, count: usize) -> Vec<f64> {
        self.weights(count).into_iter().map(f64::from).collect()
    }

    pub(super) fn weights(&mut self, count: usize) -> Vec<f32> {
        let mut draw = || {
            self.drawn += 1;
            (noise(self.seed, 0, 0, self.drawn) >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| draw()).collect()
    }
}

/// Fails unless every value is within `tolerance` of the expected one, relative to it or to 1e-3.
#[track_caller]
pub(super) fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs() / expected.abs().max(1e-3);
        assert!(error <= tolerance, "value {i}: {got} is not {expected}, error {error:e}");
    }
}

/// Σ (seen − expected)² / expected, in standard deviations from its mean.
pub(super) fn chi_square(seen: &[u32], expected: &[f64]) -> f64 {
    let terms = seen.iter().zip(expected).map(|(&n, e)| (f64::from(n) - e).powi(2) / e);
    let freedom = (seen.len() - 1) as f64;
    (terms.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
}
