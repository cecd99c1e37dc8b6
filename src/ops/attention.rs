//! Attention over the cache: `attention` for many rows, `attention_split` and `attention_merge` for few.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::rope::Cache;
use super::{Choices, Op, Reduce, ensure, kernel, part, word};

/// z = softmax(softcap(scale · q kᵀ)) v over the keys that each row may see.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Queries after rotation, (T, H·D).
    pub q: Tensor,
    /// Keys and values, those of the rows themselves included.
    pub cache: Cache,
    /// How many latest positions a row sees, its own included; all without.
    pub window: Option<usize>,
    /// What q kᵀ is multiplied by: 1/√D unless the model says otherwise.
    pub scale: f64,
    /// Bounds scores softly before they are masked: s = cap · tanh(s / cap).
    pub softcap: Option<f64>,
    /// (T, H·D).
    pub out: Tensor,
}

/// The most rows whose keys are split over workgroups.
const FEW: usize = 8;

/// The most query heads that one workgroup of `attention_split` serves.
const MOST_SHARED: usize = 8;

/// Rows that one workgroup of `attention` takes.
const ROWS: usize = 32;

/// The widest head: the kernels' private arrays hold this many values.
pub const MAX_HEAD_WIDTH: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    first: [u32; 7],
    scale: f32,
}

/// How a workgroup of `attention_split` divides its work.
struct Division {
    /// How it sums.
    reduce: Reduce,
    /// Keys that it takes.
    chunk: usize,
    /// Query heads that it serves.
    share: usize,
    /// Invocations that share the fours of a key.
    slices: usize,
    /// Invocations that share the keys of a four of values.
    groups: usize,
}

impl Division {
    /// The division for `group` query heads a key head, `fours` of a head, and a context.
    ///
    /// All heads that use one key head go together, as long as what they need fits into half of the
    /// workgroup memory that every device has. Long contexts have larger chunks, so that there are
    /// fewer of them to join.
    fn of(choices: &Choices, group: usize, fours: usize, context: usize) -> Self {
        let (reduce, chunk) = choices.split(context);
        let lanes = reduce.size() as usize;
        let slices = (lanes / (chunk / 4)).clamp(1, 4.min(fours).next_power_of_two());
        let groups = (lanes / fours).max(1);
        let bytes = |share: usize| 16 * share * (fours * (1 + groups) + slices * chunk / 4);
        let fits = |share: &usize| group.is_multiple_of(*share) && bytes(*share) <= 8 << 10;
        let share = (1..=group.min(MOST_SHARED)).rev().find(fits).unwrap_or(1);
        Self { reduce, chunk, share, slices, groups }
    }
}

/// Fills a kernel's `softcap` slot.
pub(super) fn capped(program: Program, cap: Option<f64>) -> Program {
    let program = program.part(part("softcap"));
    cap.into_iter().fold(program, |program, cap| program.constant("SOFTCAP", cap))
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MergeParams {
    heads: u32,
    width: u32,
    stride: u32,
    splits: u32,
}

impl Op for Attention {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { q, cache, out, .. } = self;
        let width = cache.width;
        ensure((q.rows, q.columns) == (out.rows, out.columns), "attention", || {
            format!("q is {} x {}, out {} x {}", q.rows, q.columns, out.rows, out.columns)
        })?;
        ensure(width <= MAX_HEAD_WIDTH, "attention", || {
            format!("heads of {width} are wider than {MAX_HEAD_WIDTH}")
        })?;
        ensure(q.columns.is_multiple_of(cache.heads * width), "attention", || {
            format!("{} queries for {} key heads of {width}", q.columns, cache.heads)
        })?;
        let heads = q.columns / width;
        if q.rows <= FEW {
            self.split(recording, choices, heads);
        } else {
            self.whole(recording, heads);
        }
        Ok(())
    }
}

impl Attention {
    fn params(&self, heads: usize, second: [usize; 6]) -> Vec<u8> {
        let mut first = [word(heads); 7];
        for (slot, value) in first[1..].iter_mut().zip(second) {
            *slot = word(value);
        }
        bytemuck::bytes_of(&Params { first, scale: self.scale as f32 }).to_vec()
    }

    fn whole(&self, recording: &mut Recording, heads: usize) {
        let Self { rows, q, cache, window, softcap, out, .. } = self;
        let params = self.params(
            q.rows,
            [heads, cache.heads, cache.width, q.stride(), cache.context, window.unwrap_or(0)],
        );
        recording.push(Dispatch {
            program: capped(Program::new(kernel("attention")), *softcap)
                .part(cache.reader())
                .constant("WG", ROWS as f64)
                .constant("FOURS", cache.fours() as f64),
            params,
            groups: vec![
                vec![Binding::Read(*rows), Binding::Read(q.buffer), Binding::Write(out.buffer)],
                Vec::new(),
                Vec::new(),
                cache.reads(),
            ],
            grid: Grid::Fixed([word(q.rows.div_ceil(ROWS)), word(heads), 1]),
            weight_bytes: 0,
        });
    }

    fn split(&self, recording: &mut Recording, choices: &Choices, heads: usize) {
        let Self { rows, q, cache, window, softcap, out, .. } = self;
        let fours = cache.fours();
        let Division { reduce, chunk, share, slices, groups } =
            Division::of(choices, heads / cache.heads, fours, cache.context);
        let splits = cache.context.div_ceil(chunk);
        let partial = recording.tensor(q.rows * heads * splits, (fours + 1) * 4);
        recording.push(Dispatch {
            program: capped(reduce.apply(Program::new(kernel("attention_split"))), *softcap)
                .part(cache.reader())
                .constant("CHUNK", chunk as f64)
                .constant("FOURS", fours as f64)
                .constant("SHARE", share as f64)
                .constant("SLICES", slices as f64)
                .constant("GROUPS", groups as f64),
            params: self.params(
                heads,
                [cache.heads, cache.width, q.stride(), cache.context, window.unwrap_or(0), splits],
            ),
            groups: vec![
                vec![Binding::Read(*rows), Binding::Read(q.buffer), Binding::Write(partial.buffer)],
                Vec::new(),
                Vec::new(),
                cache.reads(),
            ],
            grid: Grid::Extent { x: word(heads / share), y: word(q.rows), chunk: word(chunk) },
            weight_bytes: 0,
        });
        let params = MergeParams {
            heads: word(heads),
            width: word(cache.width),
            stride: word(out.stride()),
            splits: word(splits),
        };
        recording.push(Dispatch {
            program: Program::new(kernel("attention_merge"))
                .constant("CHUNK", chunk as f64)
                .constant("FOURS", fours as f64),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(*rows),
                Binding::Read(partial.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word((heads * fours).div_ceil(64)), word(q.rows), 1]),
            weight_bytes: 0,
        });
    }
}
