//! The backward page: the forward page from the bottom to the top, for every family.
//!
//! The composites are those of the forward page in reverse order. Each turns the derivative of its
//! output into that of its input. With d for a derivative of the loss, a projection y = x Wᵀ + b
//! has dW = dyᵀ x, db = Σ dy and dx = dy W; the residual stream x ← x + f(x) has dx ← dx + f'(dx).
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

impl Pass<'_, '_> {
    /// Records the derivatives of all layers and of the embedding, given that of the residual stream
    /// after the last layer, `dx`, (T, C).
    pub(super) fn layers(&mut self, dx: Tensor) -> Result<()> {
        let batch = self.batch;
        for (block, gradient) in batch.model.blocks.iter().zip(&batch.gradients.blocks).rev() {
            self.layer(block, gradient, dx)?;
        }
        self.embed(dx)
    }

    /// One layer, which changes dx, (T, C), in place.
    fn layer(&mut self, block: &Block, gradient: &Block, dx: Tensor) -> Result<()> {
        let l = block.layer;
        if let (Some(norm2), Some(gradient2)) = (&block.norm2, &gradient.norm2) {
            // x ← x + mlp(m), m = norm₂(x).
            let x = self.kept(Hook::ResidMid(l))?.of;
            let dmlp = self.add_to_stream(Hook::MlpOut(l), dx)?;
            let dm = self.mlp(block, gradient, norm2, x, dmlp)?;
            self.norm((norm2, gradient2), x, dm, Some(dx))?;
        }
        // x ← x + z W_Oᵀ, z = attention(q, k, v), q, k, v = n W_Qᵀ, n W_Kᵀ, n W_Vᵀ, n = norm₁(x).
        let dattn = self.add_to_stream(Hook::AttnOut(l), dx)?;
        let dz = self.output(block, gradient, dattn)?;
        let dqkv = self.attention(block, dz)?;
        let x = self.kept(Hook::ResidPre(l))?.of;
        let dn = self.queries(block, gradient, x, dqkv)?;
        self.norm((&block.norm1, &gradient.norm1), x, dn, Some(dx))?;
        Ok(())
    }
}
