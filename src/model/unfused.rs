//! The long way round: steps of the forward page in kernels that write every value with a name.
//!
//! [`forward`](super::forward()) takes a fused kernel unless somebody asked for a value that this
//! kernel never writes; then it comes here. The steps are those of the reference.

use crate::config::Norm;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::names::Hook;
use crate::ops::{
    Add, Attention, AttentionMix, AttentionResult, AttentionScores, CacheRows, Columns, DivideRows,
    Embed, GainBias, LayerNormCenter, PosEmbed, RmsScale, Rope, Softmax, SumHeads,
};

use super::{Block, Model, NormWeights, Tape};

/// Token vectors, and position vectors added to them.
pub(super) fn embed(tape: &mut Tape<'_>, model: &Model, rows: BufferId, x: Tensor) -> Result<()> {
    let scale = model.config.embed_scale;
    tape.push(Embed { rows, table: &model.embed, scale, positions: None, out: x })?;
    tape.mark(Hook::Embed, Columns::all(x))?;
    if let Some(positions) = model.positions {
        let placed = tape.tensor(x.rows, x.columns);
        tape.push(PosEmbed { rows, positions, out: placed })?;
        tape.mark(Hook::PosEmbed, Columns::all(placed))?;
        tape.push(Add { x: placed, out: x })?;
    }
    Ok(())
}

/// The model's kind of norm: centring, the divisor, division, gain and bias.
pub(super) fn norm(
    tape: &mut Tape<'_>,
    model: &Model,
    weights: &NormWeights,
    x: Tensor,
    (scale_hook, normalized_hook): (Hook, Hook),
) -> Result<Tensor> {
    let mut centred = x;
    if model.config.norm == Norm::LayerNorm {
        centred = tape.tensor(x.rows, x.columns);
        tape.push(LayerNormCenter { x, out: centred })?;
    }
    let scale = tape.tensor(x.rows, 1);
    tape.push(RmsScale { x: centred, eps: model.config.norm_eps, out: scale })?;
    tape.mark(scale_hook, Columns::all(scale))?;
    let normalized = tape.tensor(x.rows, x.columns);
    tape.push(DivideRows { x: centred, scale, out: normalized })?;
    tape.mark(normalized_hook, Columns::all(normalized))?;
    let out = tape.tensor(x.rows, x.columns);
    tape.push(GainBias { x: normalized, gain: weights.gain, bias: weights.bias, out })?;
    Ok(out)
}

/// Turned keys, which otherwise exist in the cache only; where they are edited, they go back there.
pub(super) fn turned_keys(tape: &mut Tape<'_>, layer: usize, rope: Rope<'_>) -> Result<()> {
    let Rope { rows, cache, .. } = rope;
    let keys = tape.tensor(rope.out.rows, cache.heads * cache.width);
    tape.push(CacheRows { rows, cache, out: keys })?;
    tape.mark(Hook::RotK(layer), Columns::all(keys))?;
    if tape.edits(Hook::RotK(layer)) {
        // Without a table nothing turns: keys and values are only put into the cache.
        let (k, out) = (Columns::all(keys), tape.tensor(keys.rows, keys.columns));
        tape.push(Rope { q: k, k, table: None, out, ..rope })?;
    }
    Ok(())
}

/// Attention by way of its scores and its pattern.
pub(super) fn attention(tape: &mut Tape<'_>, layer: usize, attention: Attention<'_>) -> Result<()> {
    let Attention { rows, q, cache, mask, out } = attention;
    let heads = q.columns / cache.width;
    let keys = tape.keys().min(cache.context);
    let scores = tape.tensor(heads * q.rows, keys);
    tape.push(AttentionScores { rows, q, cache, mask, out: scores })?;
    tape.mark(Hook::AttnScores(layer), Columns::all(scores))?;
    let pattern = tape.tensor(heads * q.rows, keys);
    tape.push(Softmax { rows, x: scores, heads, window: mask.window, out: pattern })?;
    tape.mark(Hook::Pattern(layer), Columns::all(pattern))?;
    tape.push(AttentionMix { rows, pattern, cache, out })
}

/// What attention gives, (T, C), as the sum of what its heads give.
pub(super) fn heads(
    tape: &mut Tape<'_>,
    model: &Model,
    block: &Block,
    layer: usize,
    z: Tensor,
) -> Result<Tensor> {
    let (heads, width) = (model.config.heads, model.config.width);
    let results = tape.tensor(z.rows, heads * width);
    tape.push(AttentionResult { z, weight: &block.out.weight, heads, out: results })?;
    tape.mark(Hook::Result(layer), Columns::all(results))?;
    let summand = tape.tensor(z.rows, width);
    tape.push(SumHeads { x: results, heads, bias: block.out.bias, out: summand })?;
    Ok(summand)
}
