//! `cache_rows`: keys as the cache holds them.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

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

impl Op for CacheRows<'_> {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, cache, out } = self;
        ensure(out.columns == cache.heads * cache.width, "cache_rows", || {
            format!("out has {} columns, {} heads of {}", out.columns, cache.heads, cache.width)
        })?;
        for part in &cache.parts {
            let params = [cache.heads, cache.width, part.count, out.stride(), part.first, 0, 0, 0];
            recording.push(Dispatch {
                program: Program::new(kernel("cache_rows")).part(cache.reader()),
                params: bytemuck::bytes_of(&params.map(word)).to_vec(),
                groups: vec![
                    vec![Binding::Read(*rows), Binding::Write(out.buffer)],
                    Vec::new(),
                    Vec::new(),
                    part.reads(),
                ],
                grid: Grid::Fixed([word(out.columns.div_ceil(64)), word(out.rows), 1]),
                weight_bytes: 0,
            });
        }
        Ok(())
    }
}
