//! `attention_mix`: the last step of attention on its own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::cache::Cache;
use super::op::{Op, to_u32};
use super::pattern::heads_of;
use crate::select::{KernelSelection, kernel};

/// z = pattern · v.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMix<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub pattern: Tensor,
    /// Keys and values.
    pub cache: &'a Cache,
    /// (T, H·D).
    pub out: Tensor,
}

params! {
    struct Params {
        rows: u32,
        keys: u32,
        heads: u32,
        kv_heads: u32,
        width: u32,
        pattern_stride: u32,
        out_stride: u32,
        context: u32,
        first: u32,
    }
}

impl Op for AttentionMix<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, pattern, cache, out } = self;
        let heads = heads_of("attention_mix", out, cache, pattern)?;
        for part in cache.shards.iter().filter(|part| part.first < pattern.columns) {
            let params = Params {
                rows: to_u32(out.rows),
                keys: to_u32(part.count.min(pattern.columns - part.first)),
                heads: to_u32(heads),
                kv_heads: to_u32(cache.heads),
                width: to_u32(cache.width),
                pattern_stride: to_u32(pattern.stride()),
                out_stride: to_u32(out.stride()),
                context: to_u32(part.count),
                first: to_u32(part.first),
            };
            let program = Program::new(kernel("attention_mix")).part(cache.reader());
            recording
                .dispatch(program.constant("ADD", part.first > 0), &params)
                .read(0, *rows)
                .read(0, pattern.buffer)
                .write(0, out.buffer)
                .bind(3, part.reads())
                .grid([to_u32((heads * cache.vec4s()).div_ceil(64)), to_u32(out.rows), 1]);
        }
        Ok(())
    }
}
