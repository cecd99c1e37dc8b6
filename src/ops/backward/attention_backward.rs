//! `attention_backward`: the derivatives of attention with respect to queries, keys and values.

use crate::error::Result;
use crate::gpu::{Binding, Part, Program, Recording, Tensor, params};
use crate::ops::cache::{Cache, CacheShard};
use crate::ops::mask::Mask;
use crate::ops::op::{Op, check_shape, to_u32};
use crate::ops::softcap::capped;
use crate::select::{KernelSelection, kernel, part};

/// The gradients of queries, keys and values of z = softmax(softcap(scale · q kᵀ)) v, over whole
/// sequences of equal length.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBackward<'a> {
    /// Queries as attention read them, (T, H·D).
    pub q: Tensor,
    /// The keys and values that it read, in one part.
    pub cache: &'a Cache,
    /// Which keys a row sees, and how they are scored.
    pub mask: Mask,
    /// The output of attention, (T, H·D).
    pub z: Tensor,
    /// (T, H·D).
    pub dz: Tensor,
    /// Rows of a sequence: row t is position t mod length of sequence t div length.
    pub length: usize,
    /// Scratch space for two numbers per row and head, (T, 2·H).
    pub stats: Tensor,
    /// (T, H·D).
    pub dq: Tensor,
    /// (T, K·D).
    pub dk: Tensor,
    /// (T, K·D).
    pub dv: Tensor,
}

params! {
    struct Params {
        rows: u32,
        length: u32,
        heads: u32,
        kv_heads: u32,
        width: u32,
        stride: u32,
        stats_stride: u32,
        context: u32,
        window: u32,
        scale: f32,
        out_stride: u32,
    }
}

/// Rows or keys per workgroup.
const ROWS: usize = 32;

/// The widest head with a derivative: the largest array that is tested on every device.
pub const MAX_TRAINED_HEAD_WIDTH: usize = 128;

const OP: &str = "attention_backward";

impl AttentionBackward<'_> {
    fn check(&self) -> Result<()> {
        let Self { q, cache, z, dz, length, stats, dq, dk, dv, .. } = self;
        let width = cache.width;
        let shape = |tensor: &Tensor| (tensor.rows, tensor.columns);
        check_shape([z, dz, dq].iter().all(|tensor| shape(tensor) == shape(q)), OP, || {
            format!("q is {:?}, z {:?}, dz {:?}, dq {:?}", shape(q), shape(z), shape(dz), shape(dq))
        })?;
        let keys = (q.rows, cache.heads * width);
        check_shape(shape(dk) == keys && shape(dv) == keys, OP, || {
            format!("dk is {:?} and dv {:?}, not {keys:?}", shape(dk), shape(dv))
        })?;
        check_shape(
            q.columns.is_multiple_of(keys.1) && width <= MAX_TRAINED_HEAD_WIDTH,
            OP,
            || format!("{} queries for {} key heads of {width}", q.columns, cache.heads),
        )?;
        check_shape(shape(stats) == (q.rows, 2 * q.columns / width), OP, || {
            format!("the statistics are {:?}", shape(stats))
        })?;
        let sequences = q.rows.checked_div(*length).unwrap_or(0);
        let whole = sequences * length == q.rows;
        check_shape(whole && sequences <= cache.sequences && *length <= cache.context, OP, || {
            format!(
                "{} rows as sequences of {length}, a cache for {} of {}",
                q.rows, cache.sequences, cache.context
            )
        })?;
        check_shape(cache.shards.len() == 1, OP, || {
            format!("the cache has {} parts, not one", cache.shards.len())
        })
    }

    /// One of the two kernels, over the rows of queries or of keys.
    fn over(
        &self,
        recording: &mut Recording,
        name: &str,
        cached: &CacheShard,
        own: [Binding; 3],
        [heads, out_stride]: [usize; 2],
    ) {
        let Self { q, cache, mask, dz, length, stats, .. } = self;
        let params = Params {
            rows: to_u32(q.rows),
            length: to_u32(*length),
            heads: to_u32(q.columns / cache.width),
            kv_heads: to_u32(cache.heads),
            width: to_u32(cache.width),
            stride: to_u32(q.stride()),
            stats_stride: to_u32(stats.stride()),
            context: to_u32(cached.count),
            window: to_u32(mask.window.unwrap_or(0)),
            scale: mask.scale as f32,
            out_stride: to_u32(out_stride),
        };
        let whole = cache.width.is_multiple_of(4);
        let program = Program::new(kernel(name))
            .constant("WG", ROWS as f64)
            .constant("VEC4S", cache.vec4s() as f64)
            .part(cache.reader())
            .part(part(if whole { "heads_vec4" } else { "heads_f32" }))
            .part(head_array(cache.vec4s()));
        recording
            .dispatch(capped(program, mask.softcap), &params)
            .bind(0, own)
            .read(2, q.buffer)
            .read(2, dz.buffer)
            .bind(3, cached.reads())
            .grid([to_u32(q.rows.div_ceil(ROWS)), to_u32(heads), 1]);
    }
}

/// The smallest array that holds a head of this many vec4s.
fn head_array(vec4s: usize) -> &'static Part {
    part(match vec4s {
        0..=8 => "head_array_8",
        9..=16 => "head_array_16",
        _ => "head_array_32",
    })
}

impl Op for AttentionBackward<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        self.check()?;
        let Self { q, cache, z, stats, dq, dk, dv, .. } = self;
        let (read, write) = (Binding::Read, Binding::Write);
        for cached in &cache.shards {
            let own = [read(z.buffer), write(stats.buffer), write(dq.buffer)];
            let size = [q.columns / cache.width, dq.stride()];
            self.over(recording, "attention_backward_q", cached, own, size);
            let own = [read(stats.buffer), write(dk.buffer), write(dv.buffer)];
            let size = [cache.heads, dk.stride()];
            self.over(recording, "attention_backward_kv", cached, own, size);
        }
        Ok(())
    }
}
