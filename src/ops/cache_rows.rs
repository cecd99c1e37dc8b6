//! `cache_rows`: keys as the cache holds them.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::cache::Cache;
use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

/// Each row's own keys, as the cache holds them.
#[derive(Clone, Copy, Debug)]
pub struct CacheRows<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Keys and values, those of the rows themselves included.
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
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, cache, out } = self;
        ensure(out.columns == cache.heads * cache.width, "cache_rows", || {
            format!("out has {} columns, {} heads of {}", out.columns, cache.heads, cache.width)
        })?;
        for part in &cache.parts {
            let params = Params {
                kv_heads: word(cache.heads),
                width: word(cache.width),
                context: word(part.count),
                out_stride: word(out.stride()),
                first: word(part.first),
            };
            recording
                .dispatch(Program::new(kernel("cache_rows")).part(cache.reader()), &params)
                .read(0, *rows)
                .write(0, out.buffer)
                .bind(3, part.reads())
                .grid([word(out.columns.div_ceil(64)), word(out.rows), 1]);
        }
        Ok(())
    }
}
