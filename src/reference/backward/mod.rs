//! The derivatives of the twins, written by hand: ∂loss/∂x of a twin's input from ∂loss/∂y of its
//! output.
//!
//! Tests compare every derivative here with finite differences of the forward twin, in f64.

mod activate_backward;
mod adam_w;
mod attention_backward;
mod bias_backward;
mod cast_f16;
mod clip;
mod cross_entropy;
mod dropout;
mod embed_backward;
mod gain_backward;
mod gated_backward;
mod linear_backward;
mod linear_backward_w;
mod linear_backward_x;
mod norm_backward;
mod rope_backward;
mod sgd;
mod square_sum;

#[cfg(test)]
mod tests;

pub use activate_backward::activate_backward;
pub use adam_w::{AdamW, Moments, adam_w};
pub use attention_backward::{AttentionGradient, attention_backward};
pub use bias_backward::bias_backward;
pub use cast_f16::cast_f16;
pub use clip::{Clipped, clip};
pub use cross_entropy::{IGNORED, Loss, cross_entropy};
pub use dropout::dropout;
pub use embed_backward::embed_backward;
pub use gain_backward::gain_backward;
pub use gated_backward::gated_backward;
pub use linear_backward::{LinearGradient, linear_backward};
pub use linear_backward_w::linear_backward_w;
pub use linear_backward_x::linear_backward_x;
pub use norm_backward::{NormGradient, norm_backward};
pub use rope_backward::rope_backward;
pub use sgd::sgd;
pub use square_sum::square_sum;
