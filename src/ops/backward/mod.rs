//! The derivatives, one op for each of the forward pass, and what a step of training does with them.
//!
//! Given dy, the derivative of the loss by an op's output, each gives it by the op's inputs.
//! **Gradients of parameters add up** over the rows and the micro-batches of a step; those of
//! activations are written, unless an op says that it adds.

mod activation;
mod attention;
mod dropout;
mod embed;
mod linear;
mod loss;
mod norm;
mod optimizer;
mod rope;

pub use activation::{ActivateBackward, GatedBackward};
pub use attention::{AttentionBackward, MAX_TRAINED_HEAD_WIDTH};
pub use dropout::Dropout;
pub use embed::{EmbedBackward, runs_of};
pub use linear::{BiasBackward, MatmulBackwardW, MatmulBackwardX};
pub use loss::CrossEntropy;
pub use norm::{GainBackward, LayerNormBackward, RmsNormBackward};
pub use optimizer::{AdamW, CastF16, Clip, Sgd, SquareSum};
pub use rope::RopeBackward;
