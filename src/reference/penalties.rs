//! Twin of `penalties`.

use crate::sampling::Sampling;

/// Makes tokens of prompt and output less likely: logits (V), occurrences of each id (V); returns
/// (V).
///
/// A seen token's logit is divided by the repetition penalty if positive and multiplied by it if
/// negative; then it loses the presence penalty once and the frequency penalty per occurrence.
///
/// Source: Keskar et al. 2019 for the first; the other two are additive, as in common APIs.
pub fn penalties(logits: &[f64], counts: &[u32], sampling: &Sampling) -> Vec<f64> {
    debug_assert_eq!(logits.len(), counts.len());
    let repetition = f64::from(sampling.repetition_penalty);
    let presence = f64::from(sampling.presence_penalty);
    let frequency = f64::from(sampling.frequency_penalty);
    let penalized = |(&logit, &count): (&f64, &u32)| {
        if count == 0 {
            return logit;
        }
        let scaled = if logit > 0.0 { logit / repetition } else { logit * repetition };
        scaled - presence - frequency * f64::from(count)
    };
    logits.iter().zip(counts).map(penalized).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetition_acts_before_presence_and_frequency() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            presence_penalty: 0.5,
            frequency_penalty: 0.25,
            ..Sampling::default()
        };
        let got = penalties(&[4.0, 4.0, -4.0, 0.0], &[0, 3, 1, 2], &sampling);
        assert_eq!(got, [4.0, 4.0 / 2.0 - 0.5 - 0.75, -8.0 - 0.5 - 0.25, -0.5 - 0.5]);
    }

    #[test]
    fn the_defaults_change_nothing() {
        assert_eq!(penalties(&[1.0, -2.0], &[5, 5], &Sampling::default()), [1.0, -2.0]);
    }
}
