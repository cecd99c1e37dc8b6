//! `attention_scores`: the first step of attention on its own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::cache::Cache;
use super::mask::Mask;
use super::op::{Op, to_u32};
use super::pattern::heads_of;
use super::softcap::capped;
use crate::select::{KernelSelection, kernel};

/// scores = softcap(scale · q kᵀ) over the keys that each row may see,
/// [`MASKED`](super::MASKED) elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct AttentionScores<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Queries after rotation, (T, H·D).
    pub q: Tensor,
    /// Keys and values, including those of the rows themselves.
    pub cache: &'a Cache,
    /// Which keys a row sees, and how they are scored.
    pub mask: Mask,
    /// (H·T, S).
    pub out: Tensor,
}

params! {
    struct Params {
        rows: u32,
        keys: u32,
        heads: u32,
        kv_heads: u32,
        width: u32,
        q_stride: u32,
        out_stride: u32,
        context: u32,
        window: u32,
        first: u32,
        scale: f32,
    }
}

impl Op for AttentionScores<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, q, cache, mask, out } = self;
        let heads = heads_of("attention_scores", q, cache, out)?;
        for part in cache.shards.iter().filter(|part| part.first < out.columns) {
            let keys = part.count.min(out.columns - part.first);
            let params = Params {
                rows: to_u32(q.rows),
                keys: to_u32(keys),
                heads: to_u32(heads),
                kv_heads: to_u32(cache.heads),
                width: to_u32(cache.width),
                q_stride: to_u32(q.stride()),
                out_stride: to_u32(out.stride()),
                context: to_u32(part.count),
                window: to_u32(mask.window.unwrap_or(0)),
                first: to_u32(part.first),
                scale: mask.scale as f32,
            };
            let program =
                capped(Program::new(kernel("attention_scores")), mask.softcap).part(cache.reader());
            recording
                .dispatch(program, &params)
                .read(0, *rows)
                .read(0, q.buffer)
                .write(0, out.buffer)
                .bind(3, part.reads())
                .grid([to_u32(keys.div_ceil(64)), to_u32(q.rows), to_u32(heads)]);
        }
        Ok(())
    }
}
