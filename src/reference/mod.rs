//! The twins: each kernel again in plain Rust with f64 arithmetic, and the whole model on one page.
//!
//! A twin is written for comparison: it has the shader's name, formula and order, and no
//! cleverness. `doctor` compares the adapter's results with these functions, the interpretability
//! tools read their values by [`Hook`](crate::hook::Hook), and a machine without an adapter runs
//! [`Model`] itself, which is why the matrix products are multi-threaded.
//!
//! Activations are row-major f64 slices, weights row-major f32 slices of shape (outputs, inputs).
//! The letters for sizes are those of [`Config`](crate::config::Config): T tokens, S keys, C width,
//! H heads, K key/value heads, D head width, F hidden width, V vocabulary. Sizes that do not match
//! a slice are bugs of the caller and are checked in debug builds only.

mod activate;
mod add;
mod attention;
mod attention_mix;
mod attention_pattern;
mod attention_result;
mod attention_scores;
mod attention_size;
#[cfg(feature = "train")]
pub mod backward;
mod cache;
mod cache_rows;
mod clear_padding;
mod divergence;
mod divide_rows;
mod dot;
mod embed;
mod forward;
mod gain_bias;
mod gated;
mod gather;
mod head_norm;
mod layer_norm;
mod layer_norm_center;
mod linear;
mod log_prob;
mod log_softmax;
mod model;
mod noise;
mod observer;
mod parallel;
mod penalties;
mod pos_embed;
mod project;
mod region;
mod rms_norm;
mod rms_scale;
mod rope;
mod sample;
mod scale_add;
mod softcap;
mod softmax;
mod sum_heads;
mod survivors;
mod top_k;

#[cfg(test)]
mod golden_test;
#[cfg(test)]
mod tests;

pub use activate::activate;
pub use add::add;
pub use attention::attention;
pub use attention_mix::attention_mix;
pub use attention_pattern::{AttentionPattern, attention_pattern};
pub use attention_result::attention_result;
pub use attention_scores::attention_scores;
pub use attention_size::AttentionSize;
pub use cache::{Cache, cached_f16};
pub use cache_rows::cache_rows;
pub use clear_padding::clear_padding;
pub use divergence::{Diverged, divergence};
pub use divide_rows::divide_rows;
pub use embed::embed;
pub use gain_bias::gain_bias;
pub use gated::gated;
pub use gather::{ColumnRange, gather};
pub use head_norm::head_norm;
pub use layer_norm::layer_norm;
pub use layer_norm_center::layer_norm_center;
pub use linear::{LinearSize, linear};
pub use log_prob::log_prob;
pub use log_softmax::log_softmax;
pub use model::Model;
pub use noise::{gumbel, noise};
pub use observer::{Every, Observer};
pub use penalties::penalties;
pub use pos_embed::pos_embed;
pub use project::project;
pub use region::{Operand, Region};
pub use rms_norm::rms_norm;
pub use rms_scale::rms_scale;
pub use rope::{RopeSize, rope};
pub use sample::{Draw, sample};
pub use scale_add::scale_add;
pub use softcap::softcap;
pub use softmax::softmax;
pub use sum_heads::sum_heads;
pub use survivors::survivors;
pub use top_k::top_k;
