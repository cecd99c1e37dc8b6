//! The twins: each kernel once more in plain Rust, f64 inside, and the whole model on one page.
//!
//! A twin is written to be compared with: it has the shader's name, formula and order, and no
//! cleverness. `doctor` holds the adapter's results against these functions, the interpretability
//! tools read their values by [`Hook`](crate::names::Hook), and a machine without an adapter runs
//! [`Model`] itself, which is why the products are spread over threads.
//!
//! Activations are row-major f64 slices, weights row-major f32 slices of shape (outputs, inputs).
//! Letters for sizes are those of [`Config`](crate::config::Config): T tokens, S keys, C width,
//! H heads, K key/value heads, D head width, F hidden width, V vocabulary. Sizes that do not fit a
//! slice are bugs of the caller and are checked in debug builds only.

mod activation;
mod attention;
#[cfg(feature = "train")]
pub mod backward;
mod cache;
mod embed;
mod forward;
mod heads;
mod layer_norm;
mod log_prob;
mod matmul;
mod model;
mod observer;
mod parallel;
mod penalties;
mod rms_norm;
mod rope;
mod sample;
mod softmax;
mod top_k;

#[cfg(test)]
mod golden_test;
#[cfg(test)]
mod tests;

pub use activation::{activate, gated, softcap};
pub use attention::{
    AttentionPattern, AttentionSize, attention, attention_mix, attention_pattern, attention_scores,
};
pub use cache::Cache;
pub use embed::embed;
pub use heads::{attention_result, sum_heads};
pub use layer_norm::{layer_norm, layer_norm_center};
pub use log_prob::{log_prob, log_softmax};
pub use matmul::{MatmulSize, matmul};
pub use model::Model;
pub use observer::{Every, Observer};
pub use penalties::penalties;
pub use rms_norm::{divide_rows, gain_bias, rms_norm, rms_scale};
pub use rope::{RopeSize, rope};
pub use sample::{Draw, gumbel, noise, sample, survivors};
pub use softmax::softmax;
pub use top_k::top_k;
