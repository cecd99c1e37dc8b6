//! `rope` and the key/value cache it fills, and `head_norm` before it.

use bytemuck::{Pod, Zeroable};

use crate::config::Rotation;
use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Part, Program, Recording, Tensor};

use super::{Choices, Op, ensure, kernel, part, word};

/// Keys and values of one layer, (sequence, head, position, width padded to fours), in one or more
/// parts split by position. What a head attends to lies in a row, as whoever reads memory likes it.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The parts, in order.
    pub parts: Vec<CachePart>,
    /// How its numbers are stored.
    pub format: CacheFormat,
    /// Sequences that it holds.
    pub sequences: usize,
    /// Positions of each sequence.
    pub context: usize,
    /// K: key/value heads.
    pub heads: usize,
    /// D: width of a head.
    pub width: usize,
}

/// Neighbouring positions of every sequence of a cache, in buffers of their own.
#[derive(Clone, Copy, Debug)]
pub struct CachePart {
    /// The first position that it holds.
    pub first: usize,
    /// How many positions it holds.
    pub count: usize,
    /// Keys.
    pub k: BufferId,
    /// Values.
    pub v: BufferId,
}

/// How a key/value cache stores its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheFormat {
    /// 32-bit floats.
    #[default]
    F32,
    /// Half floats: half the memory.
    F16,
}

/// Positions that a part of a split cache has a multiple of, where as many fit: the most keys that a
/// workgroup takes.
const STEP: usize = 256;

impl Cache {
    /// A cache whose buffers exist only by name, for `sequences` of `context` positions and for
    /// `heads` of `width` values, in parts of at most `max_binding` bytes.
    pub fn named(
        format: CacheFormat,
        [sequences, context]: [usize; 2],
        [heads, width]: [usize; 2],
        max_binding: u64,
    ) -> Self {
        let mut cache = Self { parts: Vec::new(), format, sequences, context, heads, width };
        let fit = max_binding / cache.position_bytes().max(1);
        let fit = usize::try_from(fit).unwrap_or(usize::MAX);
        let step = match fit {
            _ if fit >= context => context.max(1),
            STEP.. => fit / STEP * STEP,
            // The largest power of two that fits; at least four, since keys are taken by fours.
            _ => ((fit + 1).next_power_of_two() / 2).max(4),
        };
        let part = |first: usize| CachePart {
            first,
            count: step.min(context - first),
            k: BufferId::fresh(),
            v: BufferId::fresh(),
        };
        cache.parts = (0..context).step_by(step).map(part).collect();
        cache
    }

    /// The bytes of its keys, and as many of its values.
    pub fn bytes(&self) -> u64 {
        self.context as u64 * self.position_bytes()
    }

    /// The bytes of a part's keys, and as many of its values.
    pub fn part_bytes(&self, part: &CachePart) -> u64 {
        part.count as u64 * self.position_bytes()
    }

    /// The bytes of the keys at one position of all sequences.
    pub fn position_bytes(&self) -> u64 {
        let value = match self.format {
            CacheFormat::F32 => 4,
            CacheFormat::F16 => 2,
        };
        (self.sequences * self.heads * self.fours() * 4) as u64 * value
    }

    /// The longest stretch of positions, at most `most`, that no part's border cuts.
    pub(super) fn stretch(&self, most: usize) -> usize {
        let Some(part) = self.parts.first().filter(|_| self.parts.len() > 1) else { return most };
        (1..=most.min(part.count)).rev().find(|n| part.count.is_multiple_of(*n)).unwrap_or(1)
    }

    /// Fours of a head.
    pub(super) fn fours(&self) -> usize {
        self.width.div_ceil(4)
    }

    /// The part that reads it.
    pub(super) fn reader(&self) -> &'static Part {
        part(match self.format {
            CacheFormat::F32 => "cached_f32",
            CacheFormat::F16 => "cached_f16",
        })
    }

    /// The part that writes it.
    pub(super) fn writer(&self) -> &'static Part {
        part(match self.format {
            CacheFormat::F32 => "cache_f32",
            CacheFormat::F16 => "cache_f16",
        })
    }
}

impl CachePart {
    pub(super) fn reads(&self) -> Vec<Binding> {
        vec![Binding::Read(self.k), Binding::Read(self.v)]
    }

    pub(super) fn writes(&self) -> Vec<Binding> {
        vec![Binding::Write(self.k), Binding::Write(self.v)]
    }
}

/// Columns of a tensor: where queries, keys or values lie within joined rows.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    /// The tensor.
    pub of: Tensor,
    /// The first column.
    pub start: usize,
    /// How many.
    pub count: usize,
    /// The distance between two of them: 2 where two matrices alternate, else 1.
    pub step: usize,
}

impl Columns {
    /// All columns of a tensor.
    pub fn all(of: Tensor) -> Self {
        Self { of, start: 0, count: of.columns, step: 1 }
    }

    /// Neighbouring columns from `start` on.
    pub fn range(of: Tensor, start: usize, count: usize) -> Self {
        Self { of, start, count, step: 1 }
    }

    /// One past the last column.
    pub(super) fn end(&self) -> usize {
        self.start + self.count.saturating_sub(1) * self.step + usize::from(self.count > 0)
    }
}

/// Turns queries and keys by their position, and writes keys and values to the cache.
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
    /// What [`rope_table`] makes, and how many values of each head it turns; nothing turns without.
    pub table: Option<(BufferId, usize)>,
    /// The cache.
    pub cache: &'a Cache,
    /// Turned queries, (T, H·D).
    pub out: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RopeParams {
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
    padding: [u32; 3],
}

/// Cosine and sine of b·f for b < 256, then of 256·a·f for every a that `context` needs, for each
/// frequency f: from these two small tables every angle is joined exactly to f32. The first also
/// holds the amplitude, so that their products do.
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
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, q, k, v, table, cache, out } = self;
        let width = cache.width;
        ensure(k.count == cache.heads * width && v.count == k.count, "rope", || {
            format!("{} keys and {} values for {} heads of {width}", k.count, v.count, cache.heads)
        })?;
        ensure(q.count == out.columns && q.count.is_multiple_of(width), "rope", || {
            format!("{} queries, {} outputs, heads of {width}", q.count, out.columns)
        })?;
        let heads = q.count / width;
        let fours = (heads + 2 * cache.heads) * cache.fours();
        for part in &cache.parts {
            let params = RopeParams {
                heads: word(heads),
                kv_heads: word(cache.heads),
                width: word(width),
                rotated: word(table.map_or(0, |(_, rotated)| rotated)),
                q_start: word(q.start),
                q_stride: word(q.of.stride()),
                k_start: word(k.start),
                k_stride: word(k.of.stride()),
                v_start: word(v.start),
                v_stride: word(v.of.stride()),
                out_stride: word(out.stride()),
                context: word(part.count),
                first: word(part.first),
                padding: [0; 3],
            };
            recording.push(Dispatch {
                program: Program::new(kernel("rope")).part(cache.writer()),
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![
                    vec![
                        Binding::Read(*rows),
                        Binding::Read(q.of.buffer),
                        Binding::Read(k.of.buffer),
                        Binding::Read(v.of.buffer),
                        // Where nothing turns, the slot holds the queries, which serve as no table.
                        Binding::Read(table.map_or(q.of.buffer, |(buffer, _)| buffer)),
                        Binding::Write(out.buffer),
                    ],
                    Vec::new(),
                    Vec::new(),
                    part.writes(),
                ],
                grid: Grid::Fixed([word(fours.div_ceil(64)), word(out.rows), 1]),
                weight_bytes: 0,
            });
        }
        Ok(())
    }
}

/// RMS-normalises each head in place; heads from `queries` on take the second row of gains.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorm {
    /// Heads of the gains' width.
    pub x: Columns,
    /// How many heads take the first gain.
    pub queries: usize,
    /// (2, D).
    pub gains: Tensor,
    /// ε.
    pub eps: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadNormParams {
    heads: u32,
    queries: u32,
    width: u32,
    start: u32,
    stride: u32,
    gain_stride: u32,
    eps: f32,
    padding: u32,
}

impl Op for HeadNorm {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, queries, gains, eps } = self;
        let width = gains.columns;
        ensure(gains.rows == 2 && x.count.is_multiple_of(width), "head_norm", || {
            format!("{} columns, gains {} x {width}", x.count, gains.rows)
        })?;
        let heads = x.count / width;
        let params = HeadNormParams {
            heads: word(heads),
            queries: word(*queries),
            width: word(width),
            start: word(x.start),
            stride: word(x.of.stride()),
            gain_stride: word(gains.stride()),
            eps: *eps as f32,
            padding: 0,
        };
        recording.push(Dispatch {
            program: Program::new(kernel("head_norm")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(gains.buffer), Binding::Write(x.of.buffer)]],
            grid: Grid::Fixed([word(heads.div_ceil(64)), word(x.of.rows), 1]),
            weight_bytes: gains.bytes(),
        });
        Ok(())
    }
}
