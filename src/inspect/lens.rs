//! The logit lens: what the model would say after each part of it.
//!
//! The residual stream x at a place is read as if it were the last: logits(x) = norm(x) Uᵀ, where the
//! norm's statistics are computed from x (nostalgebraist 2020).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;
use crate::model::{Activation, Edit, actions, offered};
use crate::reference::{log_softmax, top_k};

/// What to compute at each place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LensOptions {
    /// How many most probable tokens.
    pub top: usize,
    /// The token whose rank is given.
    pub target: Option<u32>,
    /// The positions; all if `None`.
    pub positions: Option<Range<usize>>,
}

/// The stream read after each part of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Lens {
    /// The places: `0_pre`, `0_mid`, `1_pre` and so on, `final_post`. There is no mid where attention
    /// and MLP are parallel, or where there is no MLP.
    pub labels: Vec<String>,
    /// The position of the first reading of each place.
    pub first: usize,
    /// For each place, a reading of each position.
    pub readings: Vec<Vec<Reading>>,
}

/// The distribution that the stream at one place and position stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The most probable tokens, (id, ln p), best first.
    pub top: Vec<(u32, f32)>,
    /// −Σ p ln p, in nats.
    pub entropy: f64,
    /// KL(last ‖ this): how far it is from what the model says in the end, in nats.
    pub kl: f64,
    /// How many tokens are more probable than the target; of equal ones those with lower ids count.
    pub rank: Option<usize>,
}

/// Reads the stream of a text after each part of the model.
///
/// # Errors
/// As [`Llm::observe`]; [`Error::Input`] for positions that the text does not have, and a target
/// outside the vocabulary.
pub async fn lens(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    options: &LensOptions,
) -> Result<Lens> {
    let config = llm.config().clone();
    let positions = options.positions.clone().unwrap_or(0..tokens.len());
    if positions.is_empty() || positions.end > tokens.len() {
        return Err(Error::Input(format!(
            "the lens was asked for positions {}..{} of {} tokens",
            positions.start,
            positions.end,
            tokens.len()
        )));
    }
    if let Some(target) = options.target.filter(|id| *id as usize >= config.vocab) {
        let vocab = config.vocab;
        return Err(Error::Input(format!("token {target} is outside the vocabulary of {vocab}")));
    }
    let mut places = Vec::new();
    for layer in 0..config.layers {
        places.push((format!("{layer}_pre"), Hook::ResidPre(layer)));
        if offered(&config, Hook::ResidMid(layer)).is_ok() {
            places.push((format!("{layer}_mid"), Hook::ResidMid(layer)));
        }
    }
    places.push(("final_post".to_owned(), Hook::ResidPost(config.layers - 1)));
    let actions = actions(edits, places.iter().map(|(_, hook)| *hook));
    let seen = llm.observe(tokens, &actions, &[]).await?.activations;
    let rows = positions.start * config.width..positions.end * config.width;
    let stream = |hook: Hook| -> Option<&[f32]> {
        let found = seen.iter().find(|activation: &&Activation| activation.hook == hook)?;
        Some(&found.values[rows.clone()])
    };
    let mut last = Vec::new();
    let mut readings = Vec::new();
    // The last place first: the others are compared with it.
    for (_, hook) in places.iter().rev() {
        let logits = llm.unembed(stream(*hook).unwrap_or_default()).await?;
        let logits: Vec<f64> = logits.into_iter().map(f64::from).collect();
        let logprobs = log_softmax(&logits, config.vocab);
        if last.is_empty() {
            last.clone_from(&logprobs);
        }
        let rows = logprobs.chunks(config.vocab).zip(last.chunks(config.vocab));
        readings.push(rows.map(|(row, last)| Reading::new(row, last, options)).collect());
    }
    readings.reverse();
    let labels = places.into_iter().map(|(label, _)| label).collect();
    Ok(Lens { labels, first: positions.start, readings })
}

impl Reading {
    fn new(logprobs: &[f64], last: &[f64], options: &LensOptions) -> Self {
        let best = top_k(logprobs, options.top);
        let top = best.into_iter().map(|(id, _)| (id, logprobs[id as usize] as f32)).collect();
        // p ln p is 0 in the limit where p is.
        let term = |p: f64, log: f64| if p == 0.0 { 0.0 } else { p * log };
        let entropy = -logprobs.iter().map(|log| term(log.exp(), *log)).sum::<f64>();
        let kl = last.iter().zip(logprobs).map(|(last, own)| term(last.exp(), last - own)).sum();
        let rank = options.target.map(|target| {
            let own = logprobs[target as usize];
            let before = |(id, other): (usize, &f64)| {
                *other > own || (*other == own && id < target as usize)
            };
            logprobs.iter().enumerate().filter(|pair| before(*pair)).count()
        });
        Self { top, entropy, kl, rank }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_has_the_numbers_of_its_definition() {
        let log = |p: f64| p.ln();
        let (own, last) = ([log(0.5), log(0.25), log(0.25)], [log(0.25), log(0.25), log(0.5)]);
        let options = LensOptions { top: 2, target: Some(2), positions: None };
        let reading = Reading::new(&own, &last, &options);
        assert_eq!(reading.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [0, 1]);
        assert!((reading.entropy - 1.5 * 2_f64.ln()).abs() < 1e-12);
        assert!((reading.kl - 0.25 * 2_f64.ln()).abs() < 1e-12);
        // Of two equal tokens the lower id comes first.
        assert_eq!(reading.rank, Some(2));
        let certain = Reading::new(&[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY], &last, &options);
        assert_eq!((certain.entropy, certain.kl), (0.0, f64::INFINITY));
    }
}
