//! The ops that models run, and those that expose intermediate values.

use crate::check::cases::{
    Activate, Add, Attention, AttentionMix, AttentionResult, AttentionScores, CacheEnds, CacheRows,
    ClearPadding, Divergence, DivideRows, Embed, GainBias, Gated, Gather, HeadNorm, LayerNorm,
    LayerNormCenter, Linear, LinearBeyondF16, LinearToCache, LogProb, Penalties, PosEmbed, Project,
    RmsNorm, RmsScale, Rope, Sample, SampleAtCut, ScaleAdd, Softmax, SumHeads, TopK,
};

use super::table::{self, Suite, Table, collect};

collect! {
    linear: Linear, LinearBeyondF16, LinearToCache;
    rest: Embed, PosEmbed, LayerNorm, RmsNorm, HeadNorm, Rope, CacheEnds, Attention, Activate, Gated, Gather,
        ClearPadding, Add, LogProb, Penalties, Sample, SampleAtCut, TopK, Divergence, LayerNormCenter, RmsScale, DivideRows, GainBias,
        CacheRows, AttentionScores, Softmax, AttentionMix, AttentionResult, SumHeads, ScaleAdd, Project
}
