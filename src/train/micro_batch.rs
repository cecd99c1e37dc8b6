//! What the forward and the backward page share of a micro-batch.

use crate::gpu::BufferId;
use crate::hook::Hook;
use crate::model::{DropoutSite, Model, Rows};
use crate::ops::Cache;

use super::loss::{Chunk, Targets};

/// Sequences of `length` rows, one after another.
pub(super) struct MicroBatch<'a> {
    pub(super) model: &'a Model,
    /// A model of the same shapes, with gradients in place of weights.
    pub(super) gradients: &'a Model,
    /// One per layer.
    pub(super) caches: &'a [Cache],
    pub(super) rows: Rows,
    /// Which rows hold which token and which position.
    pub(super) tokens: Runs,
    pub(super) positions: Runs,
    /// Rows per sequence.
    pub(super) length: usize,
    pub(super) dropout: Option<Dropping>,
    /// The rows whose logits exist at the same time.
    pub(super) chunks: &'a [Chunk],
    pub(super) targets: Targets,
}

/// Rows sorted by what they hold, as `EmbedBackward` takes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) runs: BufferId,
    pub(super) order: BufferId,
}

/// How much is dropped, and the seed words that decide what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dropping {
    pub(super) probability: f64,
    pub(super) draw: BufferId,
}

impl MicroBatch<'_> {
    /// Where values are dropped: the embedding, and what each sub-layer adds to the stream.
    pub(super) fn dropped(&self) -> Vec<Hook> {
        let sums = self.model.blocks.iter().flat_map(|block| {
            let mlp = block.mlp.is_some().then_some(Hook::MlpOut(block.layer));
            [Some(Hook::AttnOut(block.layer)), mlp].into_iter().flatten()
        });
        // A model without layers has nothing after the embedding that could compensate.
        let first = (!self.model.blocks.is_empty()).then_some(Hook::ResidPre(0));
        first.into_iter().chain(sums).collect()
    }

    /// Which part of a value is dropped, if any.
    pub(super) fn drop(&self, hook: Hook) -> Option<DropoutSite> {
        let Dropping { probability, draw } = self.dropout?;
        let site = match hook {
            Hook::AttnOut(layer) => 2 * layer as u32 + 1,
            Hook::MlpOut(layer) => 2 * layer as u32 + 2,
            _ => 0,
        };
        Some(DropoutSite { probability, draw, site })
    }
}
