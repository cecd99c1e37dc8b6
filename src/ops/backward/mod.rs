//! The derivatives, one op for each of the forward pass, and the optimizer step.
//!
//! Given dy, the derivative of the loss with respect to an op's output, each computes the
//! derivatives with respect to its inputs. **Gradients of parameters add up** over the rows and the
//! micro-batches of a step; those of activations are written, unless an op says that it adds.

mod activate_backward;
mod adam_w;
mod attention_backward;
mod bias_backward;
mod cast_f16;
mod clip;
mod column_sum;
mod cross_entropy;
mod dropout;
mod embed_backward;
mod gain_backward;
mod gated_backward;
mod gradient;
mod linear_backward_w;
mod linear_backward_x;
mod norm_backward;
mod optimizer_settings;
mod rope_backward;
mod sgd;
mod square_sum;
mod squares;

pub use activate_backward::ActivateBackward;
pub use adam_w::AdamW;
pub use attention_backward::{AttentionBackward, MAX_TRAINED_HEAD_WIDTH};
pub use bias_backward::BiasBackward;
pub use cast_f16::CastF16;
pub use clip::Clip;
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use embed_backward::{EmbedBackward, runs_of};
pub use gain_backward::GainBackward;
pub use gated_backward::GatedBackward;
pub use linear_backward_w::LinearBackwardW;
pub use linear_backward_x::LinearBackwardX;
pub use norm_backward::NormBackward;
pub use optimizer_settings::{Clipping, OptimizerSettings};
pub use rope_backward::RopeBackward;
pub use sgd::Sgd;
pub use square_sum::SquareSum;
