//! Which form of a composite runs, fused or step by step: one table.
//!
//! A fused kernel is faster because it never writes the intermediate values, so it runs unless one
//! of those values was asked for, or the layer lacks what the kernel needs. A new fused form is a
//! row here, and a function in [`blocks`](super::blocks); the forward page stays as it is.

use crate::config::Config;
use crate::hook::{Hook, Point};
use crate::ops::Cache;

use super::tape::Tape;
use super::weights::{Block, GateUp, MlpWeights, Model, NormPlace};

/// The fused forms of the composites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fused {
    /// Token and position vectors, added by the kernel that looks them up.
    Embed,
    /// A norm in one kernel.
    Norm(NormPlace),
    /// Attention reads the stream itself.
    AttnIn,
    /// The MLP reads the stream itself.
    MlpIn,
    /// One normed stream for queries, keys and values.
    QkvInput,
    /// Queries, keys and values in one projection, which also fills the cache.
    QkvToCache,
    /// Rotated keys, written only to the cache.
    RotatedKeys,
    /// Rotated keys, written to the cache once.
    CachedKeys,
    /// Attention that never writes its scores and pattern.
    Attention,
    /// The output projection of all heads at once.
    Output,
    /// The output projection adds to the residual stream.
    AttentionUpdate,
    /// The activation function as the epilogue of the projection before it.
    Activation,
    /// The last projection of the MLP adds to the residual stream.
    MlpUpdate,
}

/// The conditions under which a fused form runs.
struct Form {
    fused: Fused,
    /// The values that it never writes.
    hides: &'static [Point],
    /// What it needs of the layer.
    needs: &'static [Condition],
}

/// A layer as it is recorded.
struct Layer<'a> {
    tape: &'a Tape<'a>,
    config: &'a Config,
    block: &'a Block,
    cache: &'a Cache,
}

/// Whether a layer, its cache and what is asked of it allow a fused form.
type Condition = fn(&Layer<'_>) -> bool;

#[rustfmt::skip]
const FORMS: &[Form] = &[
    Form { fused: Fused::Embed, hides: &[Point::Embed, Point::PosEmbed], needs: &[] },
    norm(NormPlace::BeforeAttention),
    Form { fused: Fused::AttnIn, hides: &[Point::AttnIn], needs: &[] },
    Form { fused: Fused::MlpIn, hides: &[Point::MlpIn], needs: &[] },
    Form { fused: Fused::QkvInput, hides: QKV_INPUTS, needs: &[] },
    Form {
        fused: Fused::QkvToCache,
        hides: &[Point::Q, Point::K, Point::V, Point::QInput, Point::KInput, Point::VInput],
        needs: &[one_projection, no_rotation, no_head_norms, heads_of_whole_vec4s, cache_in_one_part],
    },
    Form { fused: Fused::RotatedKeys, hides: &[Point::RotK], needs: &[] },
    Form { fused: Fused::CachedKeys, hides: &[], needs: &[rotated_keys_unedited] },
    Form { fused: Fused::Attention, hides: &[Point::AttnScores, Point::Pattern], needs: &[] },
    Form { fused: Fused::Output, hides: &[Point::Result], needs: &[] },
    norm(NormPlace::AfterAttention),
    Form { fused: Fused::AttentionUpdate, hides: &[Point::AttnOut], needs: &[no_norm_after_attention] },
    norm(NormPlace::BeforeMlp),
    Form { fused: Fused::Activation, hides: &[Point::MlpPre, Point::MlpPreLinear], needs: &[gate_and_up_joined] },
    norm(NormPlace::AfterMlp),
    Form { fused: Fused::MlpUpdate, hides: &[Point::MlpOut], needs: &[no_norm_after_mlp] },
    norm(NormPlace::Final),
];

const QKV_INPUTS: &[Point] = &[Point::QInput, Point::KInput, Point::VInput];

/// A norm hides its divisor and its value before the gain, wherever it is placed.
const fn norm(place: NormPlace) -> Form {
    Form { fused: Fused::Norm(place), hides: place.points(), needs: &[] }
}

fn one_projection(layer: &Layer<'_>) -> bool {
    layer.block.qkv.len() == 1
}

fn no_rotation(layer: &Layer<'_>) -> bool {
    layer.block.rope.is_none()
}

fn no_head_norms(layer: &Layer<'_>) -> bool {
    layer.block.qk_norm.is_none()
}

/// The cache holds vec4s, and each head begins a new one.
fn heads_of_whole_vec4s(layer: &Layer<'_>) -> bool {
    layer.config.head_width.is_multiple_of(4)
}

fn cache_in_one_part(layer: &Layer<'_>) -> bool {
    layer.cache.shards.len() == 1
}

fn rotated_keys_unedited(layer: &Layer<'_>) -> bool {
    !layer.tape.edits(Hook::RotK(layer.block.layer))
}

fn no_norm_after_attention(layer: &Layer<'_>) -> bool {
    layer.block.post_norm1.is_none()
}

fn gate_and_up_joined(layer: &Layer<'_>) -> bool {
    !matches!(&layer.block.mlp, Some(MlpWeights::Gated { gate_up: GateUp::Apart { .. }, .. }))
}

fn no_norm_after_mlp(layer: &Layer<'_>) -> bool {
    layer.block.post_norm2.is_none()
}

/// Whether a composite runs in its fused form; `layer` is ignored outside the layers.
pub(super) fn fuses(
    fused: Fused,
    tape: &Tape<'_>,
    model: &Model,
    caches: &[Cache],
    layer: usize,
) -> bool {
    let Some(form) = FORMS.iter().find(|form| form.fused == fused) else { return false };
    let asked = form.hides.iter().any(|point| tape.wants(point.at(layer)));
    let fits = |need: &Condition| {
        let (block, cache) = (&model.blocks[layer], &caches[layer]);
        need(&Layer { tape, config: &model.config, block, cache })
    };
    !asked && form.needs.iter().all(fits)
}

/// Whether reading this value keeps every fused form, and so only adds a copy.
pub fn copied(hook: Hook) -> bool {
    !FORMS.iter().any(|form| form.hides.contains(&hook.point()))
}
