//! Twin of `divergence`.

use super::log_softmax::log_softmax;

/// How sure a distribution is, how far it is from another, and where a token stands in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diverged {
    /// −Σ p ln p, in nats.
    pub entropy: f64,
    /// KL(last ‖ this), in nats.
    pub kl: f64,
    /// How many tokens are before the wanted one: those of larger logits, and of equal ones those with
    /// lower ids.
    pub rank: usize,
    /// How many logits of the two are infinite or NaN.
    pub strange: usize,
}

/// The entropy of each row's distribution, its divergence from another, and the rank of a token: logits
/// and last (N, V); returns N.
pub fn divergence(logits: &[f64], last: &[f64], vocab: usize, wanted: usize) -> Vec<Diverged> {
    // p ln p is 0 in the limit where p is.
    let term = |p: f64, log: f64| if p == 0.0 { 0.0 } else { p * log };
    let row = |(logits, last): (&[f64], &[f64])| {
        let (own, other) = (log_softmax(logits, vocab), log_softmax(last, vocab));
        let entropy = -own.iter().map(|log| term(log.exp(), *log)).sum::<f64>();
        let kl = other.iter().zip(&own).map(|(last, own)| term(last.exp(), last - own)).sum();
        let value = logits[wanted];
        let before =
            |(id, other): (usize, &f64)| *other > value || (*other == value && id < wanted);
        let rank = logits.iter().enumerate().filter(|pair| before(*pair)).count();
        let strange = logits.iter().chain(last).filter(|logit| !logit.is_finite()).count();
        Diverged { entropy, kl, rank, strange }
    };
    logits.chunks(vocab).zip(last.chunks(vocab)).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_their_definitions() {
        let log = |p: f64| p.ln() + 3.0;
        let (own, last) = ([log(0.5), log(0.25), log(0.25)], [log(0.25), log(0.25), log(0.5)]);
        let found = divergence(&own, &last, 3, 2)[0];
        assert!((found.entropy - 1.5 * 2_f64.ln()).abs() < 1e-12);
        assert!((found.kl - 0.25 * 2_f64.ln()).abs() < 1e-12);
        // Of two equal tokens the lower id comes first.
        assert_eq!((found.rank, found.strange), (2, 0));
        assert_eq!(divergence(&own, &own, 3, 0)[0].kl, 0.0);
        assert_eq!(divergence(&[0.0, f64::NAN], &[f64::INFINITY, 0.0], 2, 0)[0].strange, 2);
    }
}
