//! The forward page: a decoder-only transformer from top to bottom, for every family.
//!
//! It is the function of `docs/the-function.md`, in the same symbols. T rows, each a token at a
//! position p of a sequence, become the residual stream x, (T, C). Each of L layers adds to it twice:
//!
//! - serial: x ← x + attn(norm₁(x)), then x ← x + mlp(norm₂(x));
//! - parallel (GPT-J, GPT-NeoX): x ← x + attn(norm₁(x)) + mlp(norm₂(x)).
//!
//! The logits are norm(x) Uᵀ. The composites are in [`blocks`](super::blocks), each with its
//! formula. Every value of the pass has a name, a [`Hook`], and those of the stream itself are
//! marked here.

use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::hook::Hook;
use crate::ops::Cache;

use super::blocks::{self, Pass};
use super::rows::Rows;
use super::tape::Tape;
use super::weights::{Block, Model};

/// Records the residual stream of some rows after the final norm, (T, C).
///
/// `caches` holds one cache per layer.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the model's tensors do not fit together.
pub fn forward(tape: &mut Tape<'_>, model: &Model, caches: &[Cache], rows: Rows) -> Result<Tensor> {
    let x = layers(tape, model, caches, rows)?;
    Pass { tape, model, rows, caches }.norm(&model.final_norm, x)
}

/// The same before the final norm, as the last layer leaves it.
///
/// # Errors
/// As [`forward`].
pub fn layers(tape: &mut Tape<'_>, model: &Model, caches: &[Cache], rows: Rows) -> Result<Tensor> {
    let mut pass = Pass { tape, model, rows, caches };
    // x = E[tokens] + E_P[p]; the second term only if positions are learned.
    let x = pass.embed()?;
    for block in &model.blocks {
        layer(&mut pass, block, x)?;
    }
    Ok(x)
}

/// One layer, which adds to the stream x, (T, C), in place.
pub(super) fn layer<'p>(pass: &mut Pass<'p, '_>, block: &'p Block, x: Tensor) -> Result<()> {
    let l = block.layer;
    pass.mark(Hook::ResidPre(l), x)?;
    // n = norm₁(x); if both sub-layers read the same stream, also m = norm₂(x).
    let n = pass.attention_input(block, x)?;
    let m = match &block.norm2 {
        Some(norm2) if pass.model.config.parallel => Some(pass.mlp_input(norm2, x)?),
        _ => None,
    };
    // q, k, v = n W_Qᵀ, n W_Kᵀ, n W_Vᵀ; q and k rotated by p; k and v appended to the cache.
    let q = pass.queries(block, n)?;
    // z = softmax(q kᵀ / √D) v over the keys that a row may see.
    let z = pass.attention(block, q)?;
    // x ← x + z W_Oᵀ.
    let attn = pass.output(block, z)?;
    pass.add_to_stream(attn, x)?;
    if let (Some(mlp), Some(norm2)) = (&block.mlp, &block.norm2) {
        // m = norm₂(x), after attention.
        let m = match m {
            Some(m) => m,
            None => {
                pass.mark(Hook::ResidMid(l), x)?;
                pass.mlp_input(norm2, x)?
            }
        };
        // x ← x + f(m W_upᵀ) W_downᵀ, or with a gate (f(m W_gateᵀ) ⊙ m W_upᵀ) W_downᵀ.
        let mlp = pass.mlp(block, mlp, m)?;
        pass.add_to_stream(mlp, x)?;
    }
    pass.mark(Hook::ResidPost(l), x)
}

/// Records logits, (N, V), of the rows of `x` that `index` names, or of all of them.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the shapes do not fit.
pub fn logits(
    tape: &mut Tape<'_>,
    model: &Model,
    x: Tensor,
    index: Option<BufferId>,
    out: Tensor,
) -> Result<()> {
    let x = blocks::pick(tape, x, index, out.rows)?;
    // x Uᵀ, where U is E if the head is tied.
    blocks::head(tape, model, x, out)
}
