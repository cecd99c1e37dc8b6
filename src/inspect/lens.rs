//! The logit lens: what the model would say after each part of it.
//!
//! The residual stream x at a place is read as if it were the last: logits(x) = norm(x) Uᵀ, where the
//! norm's statistics are computed from x (nostalgebraist 2020).

use std::ops::Range;

use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;
use crate::model::{Activation, Edit, Readout, actions, offered};

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
    /// −Σ p ln p, in nats. NaN, like the next, where a logit is infinite or NaN.
    pub entropy: f64,
    /// KL(last ‖ this): how far it is from what the model says in the end, in nats.
    pub kl: f64,
    /// How many tokens are more probable than the target; of equal ones those with lower ids count. `None`
    /// without a target, and where a logit is infinite or NaN.
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
    let values: Vec<&[f32]> =
        places.iter().map(|(_, hook)| stream(*hook).unwrap_or_default()).collect();
    let last = values.last().copied().unwrap_or_default();
    let readouts = llm.readings(&values, last, options.top, options.target.unwrap_or(0)).await?;
    let reading = |readout: Readout| Reading::new(readout, options.target.is_some());
    let readings = readouts.into_iter().map(|row| row.into_iter().map(reading).collect()).collect();
    let labels = places.into_iter().map(|(label, _)| label).collect();
    Ok(Lens { labels, first: positions.start, readings })
}

impl Reading {
    fn new(readout: Readout, ranked: bool) -> Self {
        let Readout { top, entropy, kl, rank, finite } = readout;
        let number = |number: f64| if finite { number } else { f64::NAN };
        let rank = (ranked && finite).then_some(rank);
        Self { top, entropy: number(entropy), kl: number(kl), rank }
    }
}
