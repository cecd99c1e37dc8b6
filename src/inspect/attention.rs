//! Attention patterns: how much each token looks at each earlier one.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::generate::Llm;
use crate::hook::Hook;
use crate::model::{Edit, actions};

/// Which patterns are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttentionOptions {
    /// Only this layer.
    pub layer: Option<usize>,
    /// Only this head.
    pub head: Option<usize>,
}

/// The patterns of some heads of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterns {
    /// The layers that were read.
    pub layers: Range<usize>,
    /// The heads that were read of each layer.
    pub heads: Range<usize>,
    /// Weights of shape (layers, heads, T, T): in each row of the last axis, how much a query attends
    /// to each key.
    pub values: Vec<f32>,
    tokens: usize,
}

impl Patterns {
    /// The sizes of the values: layers, heads, queries, keys.
    pub fn shape(&self) -> [usize; 4] {
        [self.layers.len(), self.heads.len(), self.tokens, self.tokens]
    }

    /// Each head's layer, number and pattern, (T, T).
    pub fn each(&self) -> impl Iterator<Item = (usize, usize, &[f32])> {
        let own = |layer| self.heads.clone().map(move |head| (layer, head));
        let size = (self.tokens * self.tokens).max(1);
        let units = self.layers.clone().flat_map(own);
        units.zip(self.values.chunks(size)).map(|((layer, head), pattern)| (layer, head, pattern))
    }
}

/// Reads the attention patterns of a text.
///
/// # Errors
/// [`Error::Input`] for a layer or head that the model does not have; as [`Llm::observe`].
pub async fn attention(
    llm: &mut Llm,
    tokens: &[u32],
    edits: &[(Hook, Edit)],
    options: AttentionOptions,
) -> Result<Patterns> {
    let layers = chosen("layer", options.layer, llm.config().layers)?;
    let heads = chosen("head", options.head, llm.config().heads)?;
    let actions = actions(edits, layers.clone().map(Hook::Pattern));
    let seen = llm.observe(tokens, &actions, &[]).await?.activations;
    let size = tokens.len() * tokens.len();
    let own = |values: &[f32]| values[heads.start * size..heads.end * size].to_vec();
    let values = seen.iter().flat_map(|activation| own(&activation.values)).collect();
    Ok(Patterns { layers, heads, values, tokens: tokens.len() })
}

/// One of so many, or all.
fn chosen(what: &str, number: Option<usize>, count: usize) -> Result<Range<usize>> {
    match number {
        Some(number) if number >= count => Err(Error::Input(format!(
            "there is no {what} {number}; the model has {count}, counted from 0"
        ))),
        Some(number) => Ok(number..number + 1),
        None => Ok(0..count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_know_their_heads() {
        let values: Vec<f32> = (0..8).map(|x| x as f32).collect();
        let patterns = Patterns { layers: 1..2, heads: 2..4, values, tokens: 2 };
        assert_eq!(patterns.shape(), [1, 2, 2, 2]);
        let each: Vec<_> = patterns.each().collect();
        assert_eq!(each, [(1, 2, &[0.0, 1.0, 2.0, 3.0][..]), (1, 3, &[4.0, 5.0, 6.0, 7.0])]);
    }

    #[test]
    fn a_layer_that_is_not_there_is_told() {
        assert_eq!(chosen("layer", None, 3).unwrap(), 0..3);
        assert_eq!(chosen("layer", Some(2), 3).unwrap(), 2..3);
        let told = chosen("head", Some(3), 3).unwrap_err().to_string();
        assert_eq!(told, "there is no head 3; the model has 3, counted from 0");
    }
}
