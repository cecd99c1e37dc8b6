//! `cache_rows`: keys as the cache holds them.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::cache::Cache;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// Each row's own keys, as the cache holds them.
#[derive(Clone, Copy, Debug)]
pub struct CacheRows<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Keys and values, including those of the rows themselves.
    pub cache: &'a Cache,
    /// (T, K·D).
    pub out: Tensor,
}

params! {
    struct Params {
        kv_heads: u32,
        width: u32,
        context: u32,
        out_stride: u32,
        first: u32,
    }
}

impl Op for CacheRows<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, cache, out } = self;
        check_shape(out.columns == cache.heads * cache.width, "cache_rows", || {
            format!("out has {} columns, {} heads of {}", out.columns, cache.heads, cache.width)
        })?;
        for part in &cache.shards {
            let params = Params {
                kv_heads: to_u32(cache.heads),
                width: to_u32(cache.width),
                context: to_u32(part.count),
                out_stride: to_u32(out.stride()),
                first: to_u32(part.first),
            };
            recording
                .dispatch(Program::new(kernel("cache_rows")).part(cache.reader()), &params)
                .read(0, *rows)
                .write(0, out.buffer)
                .bind(3, part.reads())
                .grid([to_u32(out.columns.div_ceil(64)), to_u32(out.rows), 1]);
        }
        Ok(())
    }
}
