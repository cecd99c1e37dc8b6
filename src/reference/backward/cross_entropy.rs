//! Twin of `cross_entropy`, which computes the loss and its derivative at once.

use crate::reference::log_softmax;

/// A target that is ignored.
pub const IGNORED: u32 = u32::MAX;

/// A loss, and the gradient of the logits.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The mean of −ln p over the targets that are not ignored; 0 without any.
    pub mean: f64,
    /// ∂logits = (softmax − onehot) / M over the M rows that are not ignored, 0 elsewhere, (T, V).
    pub logits: Vec<f64>,
}

/// The mean cross-entropy of logits (T, V) with targets (T), some of which may be [`IGNORED`].
pub fn cross_entropy(logits: &[f64], targets: &[u32]) -> Loss {
    let nothing = Loss { mean: 0.0, logits: vec![0.0; logits.len()] };
    let count = targets.iter().filter(|target| **target != IGNORED).count();
    let Some(vocab) = logits.len().checked_div(targets.len()).filter(|_| count > 0) else {
        return nothing;
    };
    let log_p = log_softmax(logits, vocab);
    let mut loss = nothing;
    let rows = loss.logits.chunks_exact_mut(vocab).zip(log_p.chunks_exact(vocab));
    for ((out, log_p), &target) in rows.zip(targets) {
        if target == IGNORED {
            continue;
        }
        loss.mean -= log_p[target as usize] / count as f64;
        out.iter_mut().zip(log_p).for_each(|(out, log_p)| *out = log_p.exp() / count as f64);
        out[target as usize] -= 1.0 / count as f64;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::backward::tests::assert_gradient;
    use crate::reference::tests::{Noise, assert_close};

    #[test]
    fn rows_that_count_and_those_that_do_not() {
        let logits = Noise::new(8).values(4 * 6);
        let targets = [5, IGNORED, 0, 3];
        let loss = cross_entropy(&logits, &targets);
        assert_gradient(&logits, &loss.logits, |x| cross_entropy(x, &targets).mean);
        for row in loss.logits.chunks(6) {
            assert!(row.iter().sum::<f64>().abs() < 1e-15);
        }
        assert!(loss.logits[6..12].iter().all(|x| *x == 0.0));
        assert_close(&[cross_entropy(&[0.0; 65], &[7]).mean], &[65_f64.ln()], 1e-14);
        assert_eq!(cross_entropy(&[1.0; 4], &[IGNORED; 2]).mean, 0.0);
    }
}
