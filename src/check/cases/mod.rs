//! Kernels against their twins, one case at a time: what an op is given, and what it should return.
//!
//! Each op has a file and a case of its name. The file also holds the op's cases in the self-test,
//! which `suites` only collects. The tests of this repository run the same cases
//! over longer tables of their own.

mod activate;
mod add;
mod attention;
mod attention_mix;
mod attention_result;
mod attention_rows;
mod attention_scores;
#[cfg(feature = "train")]
mod backward;
mod cache_rows;
mod case;
mod clear_padding;
mod divergence;
mod divide_rows;
mod embed;
mod expect;
mod fixtures;
mod gain_bias;
mod gated;
mod gather;
mod head_norm;
mod layer_norm;
mod layer_norm_center;
mod linear;
mod log_prob;
mod penalties;
mod pos_embed;
mod project;
mod region;
mod rms_norm;
mod rms_scale;
mod rope;
mod sample;
mod scale_add;
mod softmax;
mod sum_heads;
mod top_k;

pub use activate::Activate;
pub use add::Add;
pub use attention::{Attention, AttentionBeyondF16};
pub use attention_mix::AttentionMix;
pub use attention_result::AttentionResult;
pub use attention_rows::AttentionRows;
pub use attention_scores::AttentionScores;
#[cfg(feature = "train")]
pub use backward::{
    ActivateBackward, AdamW, AttentionBackward, BiasBackward, CastF16, Clip, CrossEntropy, Dropout,
    EmbedBackward, GainBackward, GatedBackward, LinearBackwardW, LinearBackwardX, NormBackward,
    RopeBackward, Sgd, SquareSum,
};
pub use cache_rows::CacheRows;
pub use case::Case;
pub(super) use case::Tables;
pub use clear_padding::ClearPadding;
pub use divergence::Divergence;
pub use divide_rows::DivideRows;
pub use embed::Embed;
pub use gain_bias::GainBias;
pub use gated::Gated;
pub use gather::Gather;
pub use head_norm::HeadNorm;
pub use layer_norm::LayerNorm;
pub use layer_norm_center::LayerNormCenter;
pub use linear::{Linear, LinearBeyondF16, LinearToCache};
pub use log_prob::LogProb;
pub use penalties::Penalties;
pub use pos_embed::PosEmbed;
pub use project::Project;
pub use region::EditedValue;
pub use rms_norm::RmsNorm;
pub use rms_scale::RmsScale;
pub use rope::{CacheEnds, Rope};
pub use sample::{Drawn, Sample, SampleAtCut};
pub use scale_add::ScaleAdd;
pub use softmax::Softmax;
pub use sum_heads::SumHeads;
pub use top_k::TopK;
