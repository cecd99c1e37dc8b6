//! Attention over the cache: `attention` or `attention_tiled` for many rows, `attention_split` and
//! `attention_merge` for few.

use crate::error::Result;
use crate::gpu::{BufferId, Grid, Program, Recording, Tensor, params};

use super::cache::{Cache, CacheShard};
use super::mask::Mask;
use super::op::{Op, check_shape, to_u32};
use super::softcap::capped;
use crate::select::{AttentionTiling, KernelSelection, Reduce, kernel, part};

/// z = softmax(softcap(scale · q kᵀ)) v over the keys that each row may see.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Queries after rotation, (T, H·D).
    pub q: Tensor,
    /// Keys and values, including those of the rows themselves.
    pub cache: &'a Cache,
    /// Which keys a row sees, and how they are scored.
    pub mask: Mask,
    /// (T, H·D).
    pub out: Tensor,
}

/// Up to this many rows have their keys split over workgroups, whatever their sequences.
const FEW: usize = 8;

/// The most rows whose keys are split if each may belong to a different sequence.
const FEW_OF_SEQUENCES: usize = 64;

/// The most query heads that one workgroup of `attention_split` serves.
const MOST_SHARED: usize = 8;

/// The most vec4s of values that a lane of `attention_split_shuffle` sums at once.
const MOST_ROUNDS: usize = 4;

/// Rows per workgroup of `attention` or `attention_tiled`.
const ROWS: usize = 32;

/// The widest head: the kernels' private arrays hold this many values.
pub const MAX_HEAD_WIDTH: usize = 256;

params! {
    struct Params {
        rows: u32,
        heads: u32,
        kv_heads: u32,
        width: u32,
        stride: u32,
        context: u32,
        window: u32,
        first: u32,
        splits: u32,
        split: u32,
        scale: f32,
    }
}

/// How a workgroup of `attention_split` divides its work.
struct Division {
    /// How it reduces.
    reduce: Reduce,
    /// Keys that it takes.
    chunk: usize,
    /// Query heads that it serves.
    share: usize,
    /// Invocations that share the vec4s of a key.
    slices: usize,
    /// Invocations that share the keys of a vec4 of values.
    groups: usize,
}

impl Division {
    /// The division for a cache and `group` query heads per key head.
    ///
    /// All heads that use one key head go together, as long as they need at most half of the
    /// workgroup memory that every device has. Long contexts have larger chunks, so that there are
    /// fewer of them to merge.
    fn of(selection: &KernelSelection, cache: &Cache, group: usize) -> Self {
        let (reduce, chunk) = selection.split(cache.context);
        let (chunk, vec4s) = (cache.stretch(chunk), cache.vec4s());
        let lanes = reduce.size() as usize;
        let slices = (lanes / (chunk / 4)).clamp(1, 4.min(vec4s).next_power_of_two());
        let groups = (lanes / vec4s).max(1);
        let bytes = |share: usize| 16 * share * (vec4s * (1 + groups) + slices * chunk / 4);
        let fits = |share: &usize| group.is_multiple_of(*share) && bytes(*share) <= 8 << 10;
        let share = (1..=group.min(MOST_SHARED)).rev().find(fits).unwrap_or(1);
        Self { reduce, chunk, share, slices, groups }
    }
}

params! {
    struct MergeParams {
        heads: u32,
        width: u32,
        stride: u32,
        splits: u32,
    }
}

impl Op for Attention<'_> {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { q, cache, out, .. } = self;
        let width = cache.width;
        check_shape((q.rows, q.columns) == (out.rows, out.columns), "attention", || {
            format!("q is {} x {}, out {} x {}", q.rows, q.columns, out.rows, out.columns)
        })?;
        check_shape(width <= MAX_HEAD_WIDTH, "attention", || {
            format!("heads of {width} are wider than {MAX_HEAD_WIDTH}")
        })?;
        check_shape(q.columns.is_multiple_of(cache.heads * width), "attention", || {
            format!("{} queries for {} key heads of {width}", q.columns, cache.heads)
        })?;
        let heads = q.columns / width;
        if q.rows <= FEW.max(cache.sequences.min(FEW_OF_SEQUENCES)) {
            self.split(recording, selection, heads);
        } else {
            self.whole(recording, selection, heads);
        }
        Ok(())
    }
}

impl Attention<'_> {
    /// A kernel over one part of the cache, whose results begin at `split` of `splits`.
    fn over(
        &self,
        recording: &mut Recording,
        (cached, [splits, split]): (&CacheShard, [usize; 2]),
        program: Program,
        out: Tensor,
        grid: Grid,
    ) {
        let Self { rows, q, cache, mask, .. } = self;
        let params = Params {
            rows: to_u32(q.rows),
            heads: to_u32(q.columns / cache.width),
            kv_heads: to_u32(cache.heads),
            width: to_u32(cache.width),
            stride: to_u32(q.stride()),
            context: to_u32(cached.count),
            window: to_u32(mask.window.unwrap_or(0)),
            first: to_u32(cached.first),
            splits: to_u32(splits),
            split: to_u32(split),
            scale: mask.scale as f32,
        };
        let program =
            capped(program.part(part("attention_params")), mask.softcap).part(cache.reader());
        recording
            .dispatch(program.constant("VEC4S", cache.vec4s() as f64), &params)
            .read(0, *rows)
            .read(0, q.buffer)
            .write(0, out.buffer)
            .bind(3, cached.reads())
            .grid(grid);
    }

    /// Space for the results of `splits` runs of keys for each row and head.
    fn partial(&self, recording: &mut Recording, heads: usize, splits: usize) -> Tensor {
        recording.tensor(self.q.rows * heads * splits, (self.cache.vec4s() + 1) * 4)
    }

    fn whole(&self, recording: &mut Recording, selection: &KernelSelection, heads: usize) {
        let Self { q, cache, .. } = self;
        let program = match selection.attention {
            AttentionTiling::Direct => {
                Program::new(kernel("attention")).constant("WG", ROWS as f64)
            }
            AttentionTiling::Tiled => Program::new(kernel("attention_tiled")),
        };
        let grid = Grid::Fixed([to_u32(q.rows.div_ceil(ROWS)), to_u32(heads), 1]);
        if let [cached] = cache.shards.as_slice() {
            self.over(recording, (cached, [1, 0]), program, self.out, grid);
            return;
        }
        let splits = cache.shards.len();
        let partial = self.partial(recording, heads, splits);
        let program = program.constant("PARTIAL", 1);
        for (split, cached) in cache.shards.iter().enumerate() {
            self.over(recording, (cached, [splits, split]), program.clone(), partial, grid);
        }
        let positions = cache.shards.first().map_or(cache.context, |part| part.count);
        self.merge(recording, heads, partial, splits, positions);
    }

    fn split(&self, recording: &mut Recording, selection: &KernelSelection, heads: usize) {
        let Self { q, cache, .. } = self;
        let Division { reduce, chunk, share, slices, groups } =
            Division::of(selection, cache, heads / cache.heads);
        let program = match selection.shuffle_lanes(reduce) {
            Some(lanes) => {
                let rounds = cache.vec4s().div_ceil(lanes as usize).min(MOST_ROUNDS);
                let program = Program::new(kernel("attention_split_shuffle")).constant("WG", lanes);
                program.constant("ROUNDS", rounds as f64)
            }
            None => reduce
                .apply(Program::new(kernel("attention_split")))
                .constant("SLICES", slices as f64)
                .constant("GROUPS", groups as f64),
        };
        let program = program
            .part(part("chunk"))
            .constant("CHUNK", chunk as f64)
            .constant("SHARE", share as f64);
        let splits = cache.context.div_ceil(chunk);
        let partial = self.partial(recording, heads, splits);
        for cached in &cache.shards {
            let grid = Grid::Extent {
                x: to_u32(heads / share),
                y: to_u32(q.rows),
                chunk: to_u32(chunk),
                first: to_u32(cached.first),
                most: to_u32(cached.count.div_ceil(chunk)),
            };
            let place = [splits, cached.first / chunk];
            self.over(recording, (cached, place), program.clone(), partial, grid);
        }
        self.merge(recording, heads, partial, splits, chunk);
    }

    /// Merges the results of runs of `chunk` keys.
    fn merge(
        &self,
        recording: &mut Recording,
        heads: usize,
        partial: Tensor,
        splits: usize,
        chunk: usize,
    ) {
        let Self { rows, cache, out, .. } = self;
        let vec4s = cache.vec4s();
        let params = MergeParams {
            heads: to_u32(heads),
            width: to_u32(cache.width),
            stride: to_u32(out.stride()),
            splits: to_u32(splits),
        };
        let program = Program::new(kernel("attention_merge"))
            .constant("CHUNK", chunk as f64)
            .constant("VEC4S", vec4s as f64);
        recording
            .dispatch(program, &params)
            .read(0, *rows)
            .read(0, partial.buffer)
            .write(0, out.buffer)
            .grid([to_u32((heads * vec4s).div_ceil(64)), to_u32(out.rows), 1]);
    }
}
