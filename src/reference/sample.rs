//! Twin of `sample`: the next token, drawn from one row of logits.

use super::penalties::penalties;
use super::top_k::rank;
use crate::names::Sampling;

/// Which draw this is; the same draw with the same seed gives the same noise, on any device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Index of the sequence in its batch.
    pub sequence: u32,
    /// How many tokens the sequence drew before.
    pub step: u32,
}

/// Draws a token: logits (V), occurrences of each id in prompt and output (V).
///
/// Penalties come first. At temperature 0 the largest logit wins. Else the logits are divided by
/// the temperature, [`survivors`] drops tokens, and the largest logit + [`gumbel`] noise among the
/// rest wins, which draws each with its probability. Ties go to the lower id.
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

/// The tokens that may be drawn and their logits, most probable first: logits (V), after penalties
/// and temperature; gives at least one pair.
///
/// Kept are: the `top_k` largest; of these, under the softmax over them, the fewest largest whose
/// mass reaches `top_p`; of these, those with `min_p` times the largest probability or more. Ties
/// go to the lower id throughout.
pub fn survivors(logits: &[f64], sampling: &Sampling) -> Vec<(u32, f64)> {
    let mut kept: Vec<(u32, f64)> = (0..).zip(logits.iter().copied()).collect();
    rank(&mut kept);
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k as usize);
    }
    let max = kept.first().map_or(0.0, |(_, logit)| *logit);
    // Masses relative to the largest: softmax's divisor is their sum.
    let mass = |logit: f64| (logit - max).exp();
    if sampling.top_p < 1.0 {
        let total: f64 = kept.iter().map(|(_, logit)| mass(*logit)).sum();
        let wanted = f64::from(sampling.top_p) * total;
        let mut reached = 0.0;
        let cut = kept.iter().position(|(_, logit)| {
            reached += mass(*logit);
            reached >= wanted
        });
        kept.truncate(cut.map_or(kept.len(), |last| last + 1));
    }
    let least = f64::from(sampling.min_p);
    kept.retain(|(_, logit)| *logit == max || mass(*logit) >= least);
    kept
}

/// Standard Gumbel noise from 32 random bits: g = −ln(−ln u), u = ((bits >> 8) | 1) / 2²⁴.
///
/// u is an odd number of 24 bits over 2²⁴, so it is exact in f32 and never 0 or 1. A shader should
/// take −ln u near 1 as a series in 1 − u, which is exact too, since WGSL's `log` may be off by
/// 2⁻²¹ there and tokens win by just these values.
pub fn gumbel(bits: u32) -> f64 {
    let u = f64::from((bits >> 8) | 1) / f64::from(1 << 24);
    -(-u.ln()).ln()
}

/// 32 random bits that depend on nothing but these numbers.
///
/// Two keys are folded from the words (seed's low half, seed's high half, sequence, step) by
/// h ← mix(h ^ word), from two fixed starts; the result is mix(mix(id ^ key 0) ^ key 1). Two keys
/// make 64 bits, so that no two draws of a long run share their noise by chance.
pub fn noise(seed: u64, sequence: u32, step: u32, id: u32) -> u32 {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = seed.to_le_bytes();
    let low = u32::from_le_bytes([s0, s1, s2, s3]);
    let high = u32::from_le_bytes([s4, s5, s6, s7]);
    let key = |start: u32| [low, high, sequence, step].iter().fold(start, |h, word| mix(h ^ word));
    mix(mix(id ^ key(0x9e37_79b9)) ^ key(0x7f4a_7c15))
}

/// A bijection of u32 in which every input bit flips every output bit about half the time.
///
/// Source: the constants are Chris Wellons's `lowbias32` (public domain).
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The id with the largest value, the lower one of equals.
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

    fn ids(logits: &[f64], sampling: Sampling) -> Vec<u32> {
        survivors(logits, &sampling).into_iter().map(|(id, _)| id).collect()
    }

    /// Σ (seen − expected)² / expected, in standard deviations from its mean.
    fn chi_square(seen: &[u32], expected: &[f64]) -> f64 {
        let terms = seen.iter().zip(expected).map(|(&n, e)| (f64::from(n) - e).powi(2) / e);
        let freedom = (seen.len() - 1) as f64;
        (terms.sum::<f64>() - freedom) / (2.0 * freedom).sqrt()
    }

    /// How evenly the numbers' top bytes fall, in standard deviations from what chance does.
    fn evenness(numbers: impl Iterator<Item = u32>) -> f64 {
        let mut seen = [0; 256];
        let mut count = 0.0;
        for number in numbers {
            seen[number as usize >> 24] += 1;
            count += 1.0;
        }
        chi_square(&seen, &[count / 256.0; 256])
    }

    #[test]
    fn greedy_takes_the_lower_of_equals() {
        let greedy = Sampling::default();
        assert_eq!(sample(&[1.0, 5.0, 5.0], &[0; 3], &greedy, Draw::default()), 1);
        let penalised = Sampling { repetition_penalty: 2.0, ..greedy };
        assert_eq!(sample(&[1.0, 5.0, 5.0], &[0, 1, 0], &penalised, Draw::default()), 2);
    }

    #[test]
    fn top_k_top_p_and_min_p_keep_what_they_say() {
        // Probabilities 0.1, 0.4, 0.1, 0.3, 0.1.
        let logits: Vec<f64> = [0.1_f64, 0.4, 0.1, 0.3, 0.1].iter().map(|p| p.ln()).collect();
        assert_eq!(ids(&logits, PLAIN), [1, 3, 0, 2, 4]);
        assert_eq!(ids(&logits, Sampling { top_k: 3, ..PLAIN }), [1, 3, 0]);
        assert_eq!(ids(&logits, Sampling { top_p: 0.65, ..PLAIN }), [1, 3]);
        assert_eq!(ids(&logits, Sampling { top_p: 0.75, ..PLAIN }), [1, 3, 0]);
        assert_eq!(ids(&logits, Sampling { top_p: 1e-6, ..PLAIN }), [1]);
        assert_eq!(ids(&logits, Sampling { min_p: 0.5, ..PLAIN }), [1, 3]);
        assert_eq!(ids(&logits, Sampling { min_p: 1.0, ..PLAIN }), [1]);
        // Top-p counts mass among the k that are left: 0.4 / 0.7 of it is the first token's.
        assert_eq!(ids(&logits, Sampling { top_k: 2, top_p: 0.55, ..PLAIN }), [1]);
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

    #[test]
    fn noise_is_the_documented_function() {
        // From the same words in another language.
        assert_eq!(noise(0, 0, 0, 0), 0xb1ec_1014);
        assert_eq!(noise(1, 2, 3, 4), 0x7ce7_4f34);
        assert_eq!(noise(u64::MAX, 7, 1000, 50_256), 0x446d_e4d0);
    }

    #[test]
    fn noise_is_even_along_each_of_its_numbers() {
        for at in [0, 1, 2, 77, 50_256] {
            assert!(evenness((0..1 << 17).map(|id| noise(5, 0, at, id))).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|step| noise(5, 0, step, at))).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|seq| noise(5, seq, at, 9))).abs() < 4.0);
            let seeds = |shift: u32| (0..1_u64 << 17).map(move |seed| seed << shift);
            assert!(evenness(seeds(0).map(|seed| noise(seed, 0, at, 9))).abs() < 4.0);
            assert!(evenness(seeds(32).map(|seed| noise(seed, 0, at, 9))).abs() < 4.0);
        }
    }

    #[test]
    fn neighbouring_noise_is_unrelated() {
        // The xor of related numbers is as even as the numbers are.
        let related: [fn(u32) -> u32; 3] = [
            |i| noise(1, 0, 0, i) ^ noise(1, 0, 1, i),
            |i| noise(1, 0, 7, i) ^ noise(1, 1, 7, i),
            |i| noise(1, 0, i, 7) ^ noise(1, 0, i, 8),
        ];
        for xor in related {
            assert!(evenness((0..1 << 17).map(xor)).abs() < 4.0);
            assert!(evenness((0..1 << 17).map(|i| xor(i) << 20)).abs() < 4.0);
        }
        assert!(evenness((0..1 << 17).map(|i| noise(1, 0, 0, i) << 16)).abs() < 4.0);
    }

    #[test]
    fn gumbel_stays_finite_and_its_u_fits_f32() {
        for bits in [0, 255, 256, 1 << 31, u32::MAX - 256, u32::MAX] {
            assert!(gumbel(bits).is_finite());
            let u = f64::from((bits >> 8) | 1) / f64::from(1 << 24);
            assert_eq!(f64::from(u as f32), u);
        }
        assert!(gumbel(0) < gumbel(1 << 31) && gumbel(1 << 31) < gumbel(u32::MAX));
    }
}
