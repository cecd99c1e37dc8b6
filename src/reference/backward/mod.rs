//! The derivatives of the twins, each written out by hand: given ∂loss/∂y of what a twin made, what
//! ∂loss/∂x of what it was given is.
//!
//! Every function here is held against differences of the forward twin, in f64.

mod activate_backward;
mod adam_w;
mod attention_backward;
mod cross_entropy;
mod dropout;
mod embed_backward;
mod linear_backward;
mod norm_backward;
mod rope_backward;

#[cfg(test)]
mod tests;

pub use activate_backward::{activate_backward, gated_backward};
pub use adam_w::{AdamW, Moments, adam_w, cast_f16, clip_scale, sgd};
pub use attention_backward::{AttentionGradient, attention_backward};
pub use cross_entropy::{IGNORED, Loss, cross_entropy};
pub use dropout::{dropout, dropout_threshold};
pub use embed_backward::embed_backward;
pub use linear_backward::{MatmulGradient, matmul_backward};
pub use norm_backward::{NormGradient, layer_norm_backward, rms_norm_backward};
pub use rope_backward::rope_backward;
