//! Twin of `sample`: the next token, drawn from one row of logits.

use super::noise::{gumbel, noise};
use super::penalties::penalties;
use super::survivors::survivors;
use crate::sampling::Sampling;

/// Which draw this is; the same draw with the same seed gives the same noise, on any device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// The index of the sequence in its batch.
    pub sequence: u32,
    /// How many tokens of the sequence were drawn before.
    pub step: u32,
}

/// Draws a token: logits (V), occurrences of each id in prompt and output (V); returns its id.
///
/// Penalties come first. At temperature 0 the largest logit wins. Otherwise the logits are divided
/// by the temperature, [`survivors`] drops tokens, and the largest logit + [`gumbel`] noise among
/// the rest wins, which draws each token with its probability. Ties go to the lower id.
///
/// Source: Gumbel 1954, as used by Maddison et al. 2014.
pub fn sample(logits: &[f64], counts: &[u32], sampling: &Sampling, draw: Draw) -> u32 {
    let logits = penalties(logits, counts, sampling);
    if sampling.temperature == 0.0 {
        return largest((0..).zip(logits));
    }
    let temperature = f64::from(sampling.temperature);
    let scaled: Vec<f64> = logits.iter().map(|logit| logit / temperature).collect();
    let noisy =
        |(id, logit)| (id, logit + gumbel(noise(sampling.seed, draw.sequence, draw.step, id)));
    largest(survivors(&scaled, sampling).into_iter().map(noisy))
}

/// The id with the largest value; ties go to the lower id.
fn largest(tokens: impl Iterator<Item = (u32, f64)>) -> u32 {
    let best = tokens.reduce(|best, next| {
        let better = next.1 > best.1 || (next.1 == best.1 && next.0 < best.0);
        if better { next } else { best }
    });
    debug_assert!(best.is_some(), "a row of logits has at least one token");
    best.map_or(0, |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::softmax;
    use crate::reference::tests::chi_square;

    const PLAIN: Sampling = Sampling {
        repetition_penalty: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        seed: 11,
    };

    #[test]
    fn greedy_takes_the_lower_of_equals() {
        let greedy = Sampling::default();
        assert_eq!(sample(&[1.0, 5.0, 5.0], &[0; 3], &greedy, Draw::default()), 1);
        let penalized = Sampling { repetition_penalty: 2.0, ..greedy };
        assert_eq!(sample(&[1.0, 5.0, 5.0], &[0, 1, 0], &penalized, Draw::default()), 2);
    }

    #[test]
    fn draws_follow_the_distribution_over_steps_and_over_sequences() {
        let logits = [0.3, -1.0, 2.0, 0.0, 1.0, -2.5, 0.7, 1.4];
        let sampling = Sampling { temperature: 1.5, ..PLAIN };
        let scaled: Vec<f64> = logits.iter().map(|x| x / 1.5).collect();
        let draws = 40_000;
        let expected: Vec<f64> = softmax(&scaled, 8).iter().map(|p| p * f64::from(draws)).collect();
        let steps = |i| Draw { sequence: 0, step: i };
        let sequences = |i| Draw { sequence: i, step: 3 };
        for draw in [steps as fn(u32) -> Draw, sequences] {
            let mut seen = [0; 8];
            for i in 0..draws {
                seen[sample(&logits, &[0; 8], &sampling, draw(i)) as usize] += 1;
            }
            assert!(chi_square(&seen, &expected) < 4.0, "{seen:?} against {expected:?}");
        }
    }
}
