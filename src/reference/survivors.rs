//! The tokens that `sample` may draw.

use super::top_k::rank;
use crate::sampling::Sampling;

/// The tokens that may be drawn, with their logits, most probable first: logits (V), after
/// penalties and temperature; returns at least one pair.
///
/// It keeps the `top_k` largest; of these, under the softmax over them, the smallest number of
/// largest whose mass reaches `top_p`; of these, those with `min_p` times the largest probability
/// or more. Ties go to the lower id throughout.
pub fn survivors(logits: &[f64], sampling: &Sampling) -> Vec<(u32, f64)> {
    let mut kept: Vec<(u32, f64)> = (0..).zip(logits.iter().copied()).collect();
    rank(&mut kept);
    if sampling.top_k > 0 {
        kept.truncate(sampling.top_k as usize);
    }
    let max = kept.first().map_or(0.0, |(_, logit)| *logit);
    // Masses relative to the largest; the divisor of the softmax is their sum.
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
