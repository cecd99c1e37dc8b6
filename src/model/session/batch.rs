//! Variants of a text as rows: where each begins to differ from it, and which of them run together.

use crate::hook::Hook;
use crate::model::bound::Bound;
use crate::model::edit::Edit;

use super::rows::Row;

/// What a variant of a text is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariantOutcome {
    /// The logits after the last token, (V).
    Logits,
    /// ln p of each token after the first, (T − 1).
    Logprobs,
}

/// A variant, and where it begins to differ from its text. What comes before is known: no layer
/// changes an earlier one, and no token an earlier one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant<'a> {
    /// Its place among those that were asked for.
    pub(super) number: usize,
    pub(super) edits: &'a [(Hook, Edit)],
    pub(super) layer: usize,
    pub(super) position: usize,
}

/// Variants that run together, each a sequence of its own. Their rows follow each other in the order
/// of their first layers, so that those that take part in a layer are always the first ones.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<Row>,
    /// What the first layer of each row reads, (rows, C).
    pub(super) stream: Vec<f32>,
    pub(super) targets: Vec<u32>,
    /// For each layer, how many rows take part in it.
    pub(super) joined: Vec<usize>,
    pub(super) edits: Vec<Bound>,
    /// How many of the edits are the session's own.
    pub(super) common: usize,
}

/// Rows of a batch that run at once.
#[derive(Debug)]
pub(super) struct RowSlice<'b> {
    pub(super) rows: &'b [Row],
    pub(super) stream: &'b [f32],
    pub(super) targets: &'b [u32],
    pub(super) joined: Vec<usize>,
}

impl<'a> Variant<'a> {
    pub(super) fn new(
        (number, edits): (usize, &'a Vec<(Hook, Edit)>),
        [layers, tokens]: [usize; 2],
        outcome: VariantOutcome,
    ) -> Self {
        let layer = edits.iter().filter_map(|(hook, _)| hook.layer()).min();
        let layer = layer.unwrap_or(usize::MAX).min(layers - 1);
        let begin = |(_, edit): &(Hook, Edit)| edit.positions.as_ref().map_or(0, |own| own.start);
        let position = match outcome {
            VariantOutcome::Logits => {
                edits.iter().map(begin).min().unwrap_or(usize::MAX).min(tokens - 1)
            }
            // Every token is asked for, whether or not it differs.
            VariantOutcome::Logprobs => 0,
        };
        Self { number, edits, layer, position }
    }
}

/// Cuts variants into batches of at most `chunk` rows. The sequences of a batch have at most twice as
/// many positions in all, which need memory even where they are known.
pub(super) fn batches<'v, 'a>(
    mut variants: &'v [Variant<'a>],
    tokens: usize,
    chunk: usize,
) -> Vec<&'v [Variant<'a>]> {
    let most = (2 * chunk / tokens).max(1);
    let mut batches = Vec::new();
    while !variants.is_empty() {
        let mut rows = 0;
        let fits = |variant: &&Variant<'_>| {
            rows += tokens - variant.position;
            rows <= chunk
        };
        let count = variants.iter().take(most).take_while(fits).count().max(1);
        let (batch, rest) = variants.split_at(count);
        batches.push(batch);
        variants = rest;
    }
    batches
}

impl Batch {
    /// The rows from `start` on that run at once.
    pub(super) fn slice(&self, start: usize, most: usize, width: usize) -> RowSlice<'_> {
        let end = self.rows.len().min(start + most);
        RowSlice {
            rows: &self.rows[start..end],
            stream: &self.stream[start * width..end * width],
            targets: &self.targets[start..end],
            joined: self.joined.iter().map(|rows| rows.min(&end).saturating_sub(start)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::edit::Change;
    use crate::model::session::rows;

    fn edited(hook: Hook, positions: Option<std::ops::Range<usize>>) -> Vec<(Hook, Edit)> {
        vec![(hook, Edit { positions, ..Edit::all(Change::Zero) })]
    }

    #[test]
    fn a_variant_begins_where_its_edits_do() {
        let of = |edits: &Vec<(Hook, Edit)>, outcome| {
            let Variant { layer, position, .. } = Variant::new((0, edits), [4, 10], outcome);
            [layer, position]
        };
        let two = [edited(Hook::Z(2), Some(6..8)), edited(Hook::MlpOut(1), Some(7..8))].concat();
        assert_eq!(of(&two, VariantOutcome::Logits), [1, 6]);
        assert_eq!(of(&two, VariantOutcome::Logprobs), [1, 0]);
        assert_eq!(of(&edited(Hook::Z(2), None), VariantOutcome::Logits), [2, 0]);
        // What comes after the layers, and nothing at all, change only what the last layer gives.
        assert_eq!(of(&Vec::new(), VariantOutcome::Logits), [3, 9]);
    }

    #[test]
    fn batches_hold_as_many_rows_as_run_at_once() {
        let variant = |layer, position| Variant { number: 0, edits: &[], layer, position };
        let counts = |variants: &[Variant<'_>], tokens, chunk| -> Vec<usize> {
            batches(variants, tokens, chunk).into_iter().map(<[_]>::len).collect()
        };
        // Six of twenty rows, from whichever layer on.
        let heads: Vec<_> = (0..18).map(|n| variant(n / 9, 0)).collect();
        assert_eq!(counts(&heads, 20, 128), [6, 6, 6]);
        // 20 + 19 + … + 14 rows are 119.
        let positions: Vec<_> = (0..20).map(|at| variant(0, at)).collect();
        assert_eq!(counts(&positions, 20, 120)[0], 7);
        // Their positions take memory, however few of their rows run.
        let ends: Vec<_> = (0..20).map(|_| variant(0, 19)).collect();
        assert_eq!(counts(&ends, 20, 120), [12, 8]);
        // A text longer than a chunk runs alone.
        assert_eq!(counts(&heads[..2], 300, 128), [1, 1]);
        assert_eq!(counts(&[], 20, 128), [0; 0]);
    }

    #[test]
    fn the_rows_of_a_layer_are_the_first_of_each_slice() {
        let batch = Batch {
            rows: rows(&[5; 10], 0),
            stream: vec![0.0; 20],
            targets: vec![0; 10],
            joined: vec![0, 4, 10],
            edits: Vec::new(),
            common: 0,
        };
        let joined = |start| batch.slice(start, 6, 2).joined;
        assert_eq!(joined(0), [0, 4, 6]);
        assert_eq!(joined(6), [0, 0, 4]);
        assert_eq!(batch.slice(6, 6, 2).stream.len(), 8);
    }
}
