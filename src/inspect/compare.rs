//! The model compared with the reference, value by value: which step is the first to go wrong.

use std::collections::HashMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::hook::Hook;
use crate::model::{Action, Activation, Session, copied, hooks, rows};
use crate::reference::{self, Observer};

/// How far a model is from the reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// One per named value, in the order of the forward pass.
    pub differences: Vec<Difference>,
    /// The relative error of all logits, with the kernels that run if no values are requested.
    pub logits: f64,
    /// The largest error that is accepted.
    pub tolerance: f64,
}

/// How far a named value is from the reference's: |x − reference| / |reference|, in the L2 norm;
/// infinite if the two do not mask the same scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The value.
    pub hook: Hook,
    /// With the kernels that run if no values are requested, if these write the value.
    pub fused: Option<f64>,
    /// With kernels that write every value.
    pub unfused: f64,
}

impl Difference {
    /// The larger of its errors.
    pub fn largest(&self) -> f64 {
        // NaN is the largest error there is, and `max` would drop it.
        match self.fused {
            Some(fused) if fused.is_nan() || fused > self.unfused => fused,
            _ => self.unfused,
        }
    }
}

impl Comparison {
    /// The first value, in the order of the forward pass, whose error is over the tolerance.
    pub fn first(&self) -> Option<Hook> {
        let over = |d: &&Difference| d.largest().is_nan() || d.largest() > self.tolerance;
        self.differences.iter().find(over).map(|difference| difference.hook)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>9} {:>9}", "relative error", "fused", "unfused")?;
        for Difference { hook, fused, unfused } in &self.differences {
            let fused = fused.map_or(String::new(), |error| format!("{error:.1e}"));
            writeln!(f, "{:<34} {fused:>9} {unfused:>9.1e}", hook.to_string())?;
        }
        writeln!(f, "{:<34} {:>9.1e}", "logits", self.logits)?;
        match self.first() {
            Some(hook) => write!(f, "the first over {:e} is {hook}", self.tolerance),
            None => write!(f, "no named value is over {:e}", self.tolerance),
        }
    }
}

/// Runs model and reference over the same tokens, and compares every value that the model names.
///
/// The model runs twice: once as if no values were requested, which gives those that its fused
/// kernels write anyway; and once with kernels that write every value. The session's first
/// sequence is overwritten.
///
/// # Errors
/// [`Error::Input`] if the two are models of different kinds, or for more tokens than the session
/// runs at once; otherwise as [`Session::values`].
pub async fn compare(
    session: &mut Session,
    reference: &reference::Model,
    tokens: &[u32],
    tolerance: f64,
) -> Result<Comparison> {
    let (config, context) = (&session.model().config, session.context());
    if *config != reference.config {
        return Err(Error::Input("the model and the reference are of different kinds".to_owned()));
    }
    let all = hooks(config);
    let rows = rows(tokens, 0);
    let reads: Vec<_> =
        all.iter().filter(|h| copied(**h)).map(|hook| (*hook, Action::Read)).collect();
    let fused = session.observe(&rows, &reads).await?;
    let unfused = session.values(&rows, &all).await?;
    let mut against = Against {
        fused: by_hook(fused.activations),
        unfused: by_hook(unfused),
        differences: Vec::with_capacity(all.len()),
    };
    let mut cache = reference.cache_for(context);
    let logits = reference.forward(&mut cache, tokens, &mut against)?;
    let logits = relative(&fused.logits, &logits);
    against.differences.sort_by_key(|difference| difference.hook.place());
    Ok(Comparison { differences: against.differences, logits, tolerance })
}

fn by_hook(activations: Vec<Activation>) -> HashMap<Hook, Vec<f32>> {
    activations.into_iter().map(|activation| (activation.hook, activation.values)).collect()
}

/// Compares each of the reference's values as it is computed.
struct Against {
    fused: HashMap<Hook, Vec<f32>>,
    unfused: HashMap<Hook, Vec<f32>>,
    differences: Vec<Difference>,
}

impl Observer for Against {
    fn wants(&self, hook: Hook) -> bool {
        self.unfused.contains_key(&hook)
    }

    fn see(&mut self, hook: Hook, _: &[usize], values: &mut [f64]) {
        // A value that is computed for several branches is compared once.
        if self.differences.iter().any(|difference| difference.hook == hook) {
            return;
        }
        let error = |found: &Vec<f32>| relative(found, values);
        self.differences.push(Difference {
            hook,
            fused: self.fused.get(&hook).map(error),
            unfused: self.unfused.get(&hook).map_or(f64::INFINITY, error),
        });
    }
}

/// |found − expected| / |expected| over the values that are not masked.
fn relative(found: &[f32], expected: &[f64]) -> f64 {
    let hidden = |value: f64| value == f64::NEG_INFINITY;
    let mut alike = found.len() == expected.len();
    let (mut difference, mut norm) = (0.0, 0.0);
    for (found, expected) in found.iter().map(|x| f64::from(*x)).zip(expected.iter().copied()) {
        if hidden(found) || hidden(expected) {
            alike &= hidden(found) == hidden(expected);
        } else {
            difference += (found - expected).powi(2);
            norm += expected.powi(2);
        }
    }
    match (alike, difference == 0.0) {
        (false, _) => f64::INFINITY,
        (true, true) => 0.0,
        (true, false) => (difference / norm).sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_hidden_scores_must_agree() {
        let hidden = f32::NEG_INFINITY;
        assert_eq!(relative(&[3.0, 4.0], &[3.0, 4.0]), 0.0);
        assert_eq!(relative(&[3.0, 4.5], &[3.0, 4.0]), 0.1);
        assert_eq!(relative(&[0.0], &[0.0]), 0.0);
        assert_eq!(relative(&[1.0], &[0.0]), f64::INFINITY);
        assert_eq!(relative(&[2.0, hidden], &[2.0, f64::NEG_INFINITY]), 0.0);
        assert_eq!(relative(&[2.0, -1e30], &[2.0, f64::NEG_INFINITY]), f64::INFINITY);
        assert_eq!(relative(&[2.0], &[2.0, 1.0]), f64::INFINITY);
        assert!(relative(&[f32::NAN], &[2.0]).is_nan());
    }

    #[test]
    fn the_first_over_the_tolerance_is_named_and_nan_is_over() {
        let exact = |hook| Difference { hook, fused: None, unfused: 1e-6 };
        let mut comparison = Comparison {
            differences: vec![exact(Hook::Embed), exact(Hook::Z(0)), exact(Hook::AttnOut(0))],
            logits: 1e-6,
            tolerance: 1e-4,
        };
        assert_eq!(comparison.first(), None);
        comparison.differences[2].unfused = 1e-3;
        assert_eq!(comparison.first(), Some(Hook::AttnOut(0)));
        comparison.differences[1].fused = Some(f64::NAN);
        assert_eq!(comparison.first(), Some(Hook::Z(0)));
        assert!(comparison.to_string().ends_with("the first over 1e-4 is blocks.0.attn.hook_z"));
    }
}
