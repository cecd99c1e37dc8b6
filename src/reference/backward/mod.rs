//! The derivatives of the twins, each written out by hand: given ∂loss/∂y of what a twin made, what
//! ∂loss/∂x of what it was given is.
//!
//! Every function here is held against differences of the forward twin, in f64.

mod activation;
mod attention;
mod dropout;
mod embed;
mod linear;
mod loss;
mod norm;
mod optimizer;
mod rope;

#[cfg(test)]
mod tests;

pub use activation::{activate_backward, gated_backward};
pub use attention::{AttentionGradient, attention_backward};
pub use dropout::{dropout, dropout_threshold};
pub use embed::embed_backward;
pub use linear::{MatmulGradient, matmul_backward};
pub use loss::{IGNORED, Loss, cross_entropy};
pub use norm::{NormGradient, layer_norm_backward, rms_norm_backward};
pub use optimizer::{AdamW, Moments, adam_w, cast_f16, clip_scale, sgd};
pub use rope::rope_backward;
