//! The backward page: the forward page from the bottom to the top, for every family.
//!
//! The composites, in [`blocks`](super::blocks), are those of the forward page in reverse order. Each
//! turns the derivative of its output into that of its input. With d for a derivative of the loss, a
//! projection y = x Wᵀ + b has dW = dyᵀ x, db = Σ dy and dx = dy W; the residual stream x ← x + f(x)
//! has dx ← dx + f'(dx).
//!
//! What a derivative needs was kept by the forward pass, or is in the cache (keys and values), or is
//! recomputed from what was kept: norms and activation functions cost less than the memory they
//! would take. Gradients of parameters accumulate in a model of their own; that of the residual
//! stream, `dx`, changes in place, as the stream itself does.

use crate::error::Result;
use crate::gpu::Tensor;
use crate::hook::Hook;
use crate::model::Block;

use super::blocks::Pass;

/// Records the loss of a micro-batch and the gradients of all parameters, given the residual stream
/// after the last layer, x, (T, C).
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) if the model's tensors do not fit together,
/// [`Error::Unsupported`](crate::Error::Unsupported) if a projection is in several matrices.
pub(super) fn backward(pass: &mut Pass<'_, '_>, x: Tensor) -> Result<()> {
    let (model, gradients) = (pass.batch.model, pass.batch.gradients);
    // n = norm(x); the loss of a row is −ln P of its target, P = softmax(n Uᵀ).
    let n = pass.forward().norm(&model.final_norm, x)?;
    let dn = pass.head(n)?;
    let dx = pass.norm((&model.final_norm, &gradients.final_norm), x, dn, None)?;
    for (block, gradient) in model.blocks.iter().zip(&gradients.blocks).rev() {
        layer(pass, block, gradient, dx)?;
    }
    // x = E[tokens] + E_P[p].
    pass.embed(dx)
}

/// One layer, which changes dx, (T, C), in place.
fn layer(pass: &mut Pass<'_, '_>, block: &Block, gradient: &Block, dx: Tensor) -> Result<()> {
    let l = block.layer;
    if let (Some(norm2), Some(gradient2)) = (&block.norm2, &gradient.norm2) {
        // x ← x + mlp(m), m = norm₂(x).
        let x = pass.kept(Hook::ResidMid(l))?.of;
        let dmlp = pass.add_to_stream(Hook::MlpOut(l), dx)?;
        let dm = pass.mlp(block, gradient, norm2, x, dmlp)?;
        pass.norm((norm2, gradient2), x, dm, Some(dx))?;
    }
    // x ← x + z W_Oᵀ, z = attention(q, k, v), q, k, v = n W_Qᵀ, n W_Kᵀ, n W_Vᵀ, n = norm₁(x).
    let dattn = pass.add_to_stream(Hook::AttnOut(l), dx)?;
    let dz = pass.output(block, gradient, dattn)?;
    let dqkv = pass.attention(block, dz)?;
    let x = pass.kept(Hook::ResidPre(l))?.of;
    let dn = pass.queries(block, gradient, x, dqkv)?;
    pass.norm((&block.norm1, &gradient.norm1), x, dn, Some(dx))?;
    Ok(())
}
