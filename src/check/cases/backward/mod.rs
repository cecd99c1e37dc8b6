//! The derivatives on the device against those of the twins, and the optimizer step.

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
mod gradients;
mod linear_backward_w;
mod linear_backward_x;
mod norm_backward;
mod rope_backward;
mod sgd;
mod square_sum;
mod step;

pub use activate_backward::ActivateBackward;
pub use adam_w::AdamW;
pub use attention_backward::AttentionBackward;
pub use bias_backward::BiasBackward;
pub use cast_f16::CastF16;
pub use clip::Clip;
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use embed_backward::EmbedBackward;
pub use gain_backward::GainBackward;
pub use gated_backward::GatedBackward;
pub use linear_backward_w::LinearBackwardW;
pub use linear_backward_x::LinearBackwardX;
pub use norm_backward::NormBackward;
pub use rope_backward::RopeBackward;
pub use sgd::Sgd;
pub use square_sum::SquareSum;
