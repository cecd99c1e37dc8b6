//! The loss over the vocabulary, a chunk of rows at a time: the logits of a micro-batch never exist
//! all at once.

use crate::error::Result;
use crate::gpu::{BufferId, Tensor, padded};
use crate::model::{Model, Tape};
use crate::ops::backward::CrossEntropy;
use crate::ops::{Columns, Epilogue, Gather, Linear};

/// The most bytes of logits that exist at the same time.
const LOGIT_BYTES: usize = 64 << 20;

/// Rows whose logits exist at the same time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Their indices; not needed if the chunk is all rows.
    pub(super) index: Option<BufferId>,
}

/// Where targets come from and where losses go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    /// (T): the next token of each row.
    pub(super) targets: BufferId,
    /// (T): −ln P of that token.
    pub(super) losses: BufferId,
    /// 1 / M over the M targets of a step.
    pub(super) share: BufferId,
}

/// The rows of each chunk: the first, and how many.
pub(super) fn chunks(count: usize, vocab: usize, max_binding: u64) -> Vec<(usize, usize)> {
    let most = usize::try_from(max_binding).unwrap_or(usize::MAX).min(LOGIT_BYTES);
    let rows = (most / (4 * padded(vocab))).max(1);
    (0..count).step_by(rows).map(|first| (first, rows.min(count - first))).collect()
}

/// Records the losses of a chunk of the rows of `x`, (T, C), the stream after the final norm. Gives
/// these rows of x, and the derivative of their logits.
pub(super) fn loss(
    tape: &mut Tape<'_>,
    model: &Model,
    x: Tensor,
    &Chunk { first, rows, index }: &Chunk,
    Targets { targets, losses, share }: Targets,
) -> Result<[Tensor; 2]> {
    let mut chosen = x;
    if index.is_some() {
        chosen = tape.tensor(rows, x.columns);
        tape.push(Gather { x: Columns::all(x), index, out: chosen })?;
    }
    let logits = tape.tensor(rows, model.config.vocab);
    let (weight, bias) = (model.head(), model.head_bias);
    tape.push(Linear { x: chosen, weight, bias, epilogue: Epilogue::Write, out: logits })?;
    // The derivative takes the place of the logits.
    tape.push(CrossEntropy { logits, targets, first, losses, share })?;
    Ok([chosen, logits])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_within_the_limits() {
        assert_eq!(chunks(768, 65, u64::MAX), [(0, 768)]);
        let all = chunks(2048, 50_257, 128 << 20);
        assert!(all.iter().all(|(_, rows)| rows * padded(50_257) * 4 <= LOGIT_BYTES));
        assert_eq!(all.iter().map(|(_, rows)| rows).sum::<usize>(), 2048);
        assert_eq!(chunks(3, 1 << 20, 1 << 20).len(), 3);
    }
}
