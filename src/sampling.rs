//! The settings of sampling.

use crate::error::{Error, Result};

/// How the next token is drawn from the logits; the steps apply in the order of the fields.
///
/// The default is greedy decoding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits of tokens seen in prompt or output are divided (if positive) or multiplied
    /// (otherwise) by this; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted from the logits of tokens seen in prompt or output; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted from the logits once per occurrence in prompt and output; 0 is off.
    pub frequency_penalty: f32,
    /// Logits are divided by this; 0 takes the most probable token.
    pub temperature: f32,
    /// Only this many of the most probable tokens are kept; 0 is off.
    pub top_k: u32,
    /// Only the smallest set of most probable tokens whose mass reaches this is kept; 1 is off.
    pub top_p: f32,
    /// Tokens less probable than this fraction of the most probable one are dropped; 0 is off.
    pub min_p: f32,
    /// The same seed gives the same text.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            seed: 0,
        }
    }
}

impl Sampling {
    /// Checks the range of every field; an [`Error::Input`] names the field.
    pub fn check(&self) -> Result<()> {
        let bad = |name: &str, range: &str, value: f32| {
            Err(Error::Input(format!("{name} must be {range}, got {value}")))
        };
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return bad("repetition penalty", "above 0", self.repetition_penalty);
        }
        if !self.presence_penalty.is_finite() {
            return bad("presence penalty", "finite", self.presence_penalty);
        }
        if !self.frequency_penalty.is_finite() {
            return bad("frequency penalty", "finite", self.frequency_penalty);
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return bad("temperature", "0 or more", self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad("top-p", "above 0 and at most 1", self.top_p);
        }
        if !(self.min_p >= 0.0 && self.min_p <= 1.0) {
            return bad("min-p", "from 0 to 1", self.min_p);
        }
        Ok(())
    }
}
