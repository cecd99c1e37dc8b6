//! One file per op: named fields, a shape check, the bindings, the grid. Knows no model.
//!
//! The mathematics is in the shader of the same name and, in plain Rust, in
//! [`reference`](crate::reference).

mod activate;
mod activation;
mod add;
mod attention;
mod attention_mix;
mod attention_result;
mod attention_scores;
#[cfg(feature = "train")]
pub mod backward;
mod cache;
mod cache_rows;
mod columns;
mod divide_rows;
mod embed;
mod gain_bias;
mod gated;
mod gather;
mod head_norm;
mod layer_norm;
mod layer_norm_center;
mod linear;
mod log_prob;
mod mask;
mod norm;
mod op;
mod pattern;
mod penalties;
mod pos_embed;
mod rms_norm;
mod rms_scale;
mod rope;
mod sample;
mod scale_add;
mod softcap;
mod softmax;
mod sum_heads;
mod top_k;
mod weight;

pub use activate::Activate;
pub use add::Add;
pub use attention::{Attention, MAX_HEAD_WIDTH};
pub use attention_mix::AttentionMix;
pub use attention_result::AttentionResult;
pub use attention_scores::AttentionScores;
pub use cache::{Cache, CacheFormat, CacheShard};
pub use cache_rows::CacheRows;
pub use columns::Columns;
pub use divide_rows::DivideRows;
pub use embed::Embed;
pub use gain_bias::GainBias;
pub use gated::Gated;
pub use gather::Gather;
pub use head_norm::HeadNorm;
pub use layer_norm::LayerNorm;
pub use layer_norm_center::LayerNormCenter;
pub use linear::{Epilogue, Linear};
pub use log_prob::LogProb;
pub use mask::Mask;
pub use op::Op;
pub use pattern::MASKED;
pub use penalties::Penalties;
pub use pos_embed::PosEmbed;
pub use rms_norm::RmsNorm;
pub use rms_scale::RmsScale;
pub use rope::{Rope, rope_table};
pub use sample::{Sample, UNDRAWN};
pub use scale_add::ScaleAdd;
pub use softmax::Softmax;
pub use sum_heads::SumHeads;
pub use top_k::{Chosen, MAX_TOP_K, TopK};
pub(crate) use weight::decode;
pub use weight::{Weight, WeightShard};
