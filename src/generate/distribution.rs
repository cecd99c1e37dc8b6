//! The next token's distribution, as the model gives it and after sampling settings.

use serde::Serialize;

use crate::reference::{penalties, softmax, survivors};
use crate::sampling::Sampling;

/// How likely a token is to come next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chance {
    /// The token.
    pub token: u32,
    /// According to the model.
    pub probability: f64,
    /// After the sampling settings: the probability with which it is drawn.
    pub drawn: f64,
}

/// Both distributions, from logits (V) and how often each token occurs in the text (V).
pub(super) fn chances(logits: &[f64], counts: &[u32], sampling: &Sampling) -> Vec<Chance> {
    let model = softmax(logits, logits.len());
    let penalized = penalties(logits, counts, sampling);
    // At temperature 0 the most probable token is all that is left.
    let (temperature, greedy) = match sampling.temperature {
        0.0 => (1.0, Sampling { top_k: 1, ..*sampling }),
        temperature => (f64::from(temperature), *sampling),
    };
    let scaled: Vec<f64> = penalized.iter().map(|logit| logit / temperature).collect();
    let (ids, kept): (Vec<u32>, Vec<f64>) = survivors(&scaled, &greedy).into_iter().unzip();
    let mut drawn = vec![0.0; logits.len()];
    for (id, probability) in ids.into_iter().zip(softmax(&kept, kept.len())) {
        drawn[id as usize] = probability;
    }
    let pairs = (0..).zip(model.into_iter().zip(drawn));
    let mut all: Vec<Chance> =
        pairs.map(|(token, (probability, drawn))| Chance { token, probability, drawn }).collect();
    all.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(sampling: Sampling) -> Vec<(u32, f64)> {
        let logits = [0.2_f64, 0.5, 0.1, 0.15, 0.05].map(f64::ln);
        let all = chances(&logits, &[0, 3, 0, 0, 1], &sampling);
        assert_eq!(all.iter().map(|chance| chance.token).collect::<Vec<_>>(), [1, 0, 3, 2, 4]);
        assert!((all[0].probability - 0.5).abs() < 1e-12);
        let total: f64 = all.iter().map(|chance| chance.drawn).sum();
        assert!((total - 1.0).abs() < 1e-12);
        let left = all.iter().filter(|chance| chance.drawn > 0.0);
        left.map(|chance| (chance.token, (chance.drawn * 1e6).round() / 1e6)).collect()
    }

    #[test]
    fn what_settings_do_to_a_distribution() {
        let one = Sampling { temperature: 1.0, ..Sampling::default() };
        assert_eq!(drawn(Sampling::default()), [(1, 1.0)]);
        assert_eq!(drawn(one), [(1, 0.5), (0, 0.2), (3, 0.15), (2, 0.1), (4, 0.05)]);
        assert_eq!(drawn(Sampling { top_k: 2, ..one }), [(1, 0.714286), (0, 0.285714)]);
        assert_eq!(drawn(Sampling { top_p: 0.6, ..one }), [(1, 0.714286), (0, 0.285714)]);
        assert_eq!(drawn(Sampling { min_p: 0.35, ..one }), [(1, 0.714286), (0, 0.285714)]);
        let half = Sampling { temperature: 0.5, top_k: 2, ..one };
        assert_eq!(drawn(half), [(1, 0.862069), (0, 0.137931)]);
        // exp(ln 0.5 - ln 5) is a fifth of it.
        let penalized = Sampling { presence_penalty: 5_f32.ln(), top_k: 2, ..one };
        assert_eq!(drawn(penalized), [(0, 0.571429), (3, 0.428571)]);
    }
}
