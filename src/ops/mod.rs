//! One file per kernel: named fields, a shape check, the bindings, the grid. Knows no model.
//!
//! The mathematics stands in the shader of the same name and, in plain Rust, in
//! [`reference`](crate::reference).

mod activation;
mod attention;
#[cfg(feature = "train")]
mod backward;
mod choices;
#[cfg(test)]
mod choices_test;
mod embed;
mod heads;
mod kernels;
mod known;
mod linear;
mod norm;
mod norm_steps;
mod pattern;
mod penalties;
mod rope;
mod rows;
mod sample;
mod top_k;
mod trials;
mod variants;
mod weight;

pub use activation::{Activate, Gated};
pub use attention::{Attention, MAX_HEAD_WIDTH};
#[cfg(feature = "train")]
pub use backward::{
    ActivateBackward, AdamW, AttentionBackward, BiasBackward, CastF16, Clip, CrossEntropy, Dropout,
    EmbedBackward, GainBackward, GatedBackward, LayerNormBackward, MAX_TRAINED_HEAD_WIDTH,
    MatmulBackwardW, MatmulBackwardX, RmsNormBackward, RopeBackward, Sgd, SquareSum, runs_of,
};
pub use choices::Choices;
pub use embed::{Embed, PosEmbed};
pub use heads::{AttentionResult, SumHeads};
pub use kernels::{KERNELS, PARTS, kernel, part};
pub use known::{Known, Shape, fingerprint};
pub use linear::{Linear, Store};
pub use norm::{LayerNorm, RmsNorm};
pub use norm_steps::{DivideRows, GainBias, LayerNormCenter, RmsScale};
pub use pattern::{AttentionMix, AttentionScores, MASKED, Softmax};
pub use penalties::Penalties;
pub use rope::{Cache, CacheFormat, CachePart, Columns, HeadNorm, Rope, rope_table};
pub use rows::{Add, CacheRows, Gather, LogProb, ScaleAdd};
pub use sample::Sample;
pub use top_k::{Chosen, MAX_TOP_K, TopK};
pub use variants::{Fetch, Lanes, Matmul, Reduce};
pub use weight::{Weight, WeightPart};
pub(crate) use weight::{decode, word_values};

use crate::error::{Error, Result};
use crate::gpu::Recording;

/// Something that can be recorded.
pub trait Op {
    /// Checks the shapes, then appends its dispatches.
    ///
    /// # Errors
    /// [`Error::Shape`], naming the op and both shapes.
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()>;
}

/// Fails with the op's name and `reason` unless `holds`.
fn ensure(holds: bool, op: &'static str, reason: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Shape { op, reason: reason() }) }
}

/// A count as a kernel takes it. Every count is a row, a column or a word of a bound buffer, whose
/// size in bytes is below 2^32 by the adapter's limits, so this never saturates in a valid recording.
fn word(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Spreads `count` workgroups over x and y, so that no axis passes 65,535.
fn spread(count: usize) -> [u32; 3] {
    let count = word(count);
    if count <= 65_535 { [count, 1, 1] } else { [65_535, count.div_ceil(65_535), 1] }
}
