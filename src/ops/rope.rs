//! `rope`: rotates queries and keys by their position, and fills the key/value cache.

use crate::config::Rotation;
use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::cache::Cache;
use super::columns::Columns;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// Rotates queries and keys by their position, and writes keys and values to the cache.
#[derive(Clone, Copy, Debug)]
pub struct Rope<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (T, H·D).
    pub q: Columns,
    /// (T, K·D).
    pub k: Columns,
    /// (T, K·D).
    pub v: Columns,
    /// What [`rope_table`] makes, and how many values of each head it rotates; nothing is rotated
    /// if `None`.
    pub table: Option<(BufferId, usize)>,
    /// The cache.
    pub cache: &'a Cache,
    /// Rotated queries, (T, H·D).
    pub out: Tensor,
}

params! {
    struct Params {
        heads: u32,
        kv_heads: u32,
        width: u32,
        rotated: u32,
        q_start: u32,
        q_stride: u32,
        k_start: u32,
        k_stride: u32,
        v_start: u32,
        v_stride: u32,
        out_stride: u32,
        context: u32,
        first: u32,
    }
}

/// Cosine and sine of b·f for b < 256, then of 256·a·f for every a that `context` needs, for each
/// frequency f: from these two small tables every angle is composed to f32 precision. The first
/// also includes the amplitude, so that the products do.
pub fn rope_table(rotation: &Rotation, context: usize) -> Vec<f32> {
    let fine = (0..256).map(|b| (b, rotation.amplitude));
    let coarse = (0..context.div_ceil(256)).map(|a| (a * 256, 1.0));
    fine.chain(coarse)
        .flat_map(|(position, amplitude)| {
            rotation.frequencies.iter().flat_map(move |frequency| {
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                [(amplitude * cos) as f32, (amplitude * sin) as f32]
            })
        })
        .collect()
}

impl Op for Rope<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, q, k, v, table, cache, out } = self;
        let width = cache.width;
        check_shape(k.count == cache.heads * width && v.count == k.count, "rope", || {
            format!("{} keys and {} values for {} heads of {width}", k.count, v.count, cache.heads)
        })?;
        check_shape(q.count == out.columns && q.count.is_multiple_of(width), "rope", || {
            format!("{} queries, {} outputs, heads of {width}", q.count, out.columns)
        })?;
        let heads = q.count / width;
        let vec4s = (heads + 2 * cache.heads) * cache.vec4s();
        for part in &cache.shards {
            let params = Params {
                heads: to_u32(heads),
                kv_heads: to_u32(cache.heads),
                width: to_u32(width),
                rotated: to_u32(table.map_or(0, |(_, rotated)| rotated)),
                q_start: to_u32(q.start),
                q_stride: to_u32(q.of.stride()),
                k_start: to_u32(k.start),
                k_stride: to_u32(k.of.stride()),
                v_start: to_u32(v.start),
                v_stride: to_u32(v.of.stride()),
                out_stride: to_u32(out.stride()),
                context: to_u32(part.count),
                first: to_u32(part.first),
            };
            recording
                .dispatch(Program::new(kernel("rope")).part(cache.writer()), &params)
                .read(0, *rows)
                .read(0, q.of.buffer)
                .read(0, k.of.buffer)
                .read(0, v.of.buffer)
                // If nothing is rotated, the slot holds the queries, which the kernel then ignores.
                .read(0, table.map_or(q.of.buffer, |(buffer, _)| buffer))
                .write(0, out.buffer)
                .bind(3, part.writes())
                .grid([to_u32(vec4s.div_ceil(64)), to_u32(out.rows), 1]);
        }
        Ok(())
    }
}
