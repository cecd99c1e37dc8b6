//! Small movers of rows: `gather`, `cache_rows`, `add` and `scale_add`; and `log_prob`.

use std::ops::Range;

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::rope::{Cache, Columns};
use super::{Choices, Op, ensure, kernel, spread, word};

/// `out_i = x_(index_i)`, or row i itself without an index.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// Columns of (T, ..).
    pub x: Columns,
    /// (N): which row of x.
    pub index: Option<BufferId>,
    /// (N, C).
    pub out: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct GatherParams {
    columns: u32,
    start: u32,
    step: u32,
    x_stride: u32,
    out_stride: u32,
    padding: [u32; 3],
}

impl Op for Gather {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, index, out } = self;
        ensure(x.count == out.columns && x.end() <= x.of.columns, "gather", || {
            format!("columns {}..+{} of {} into {}", x.start, x.count, x.of.columns, out.columns)
        })?;
        ensure(index.is_some() || x.of.rows == out.rows, "gather", || {
            format!("{} rows into {} without an index", x.of.rows, out.rows)
        })?;
        let params = GatherParams {
            columns: word(x.count),
            start: word(x.start),
            step: word(x.step),
            x_stride: word(x.of.stride()),
            out_stride: word(out.stride()),
            padding: [0; 3],
        };
        recording.push(Dispatch {
            program: Program::new(kernel("gather"))
                .constant("INDEXED", f64::from(u8::from(index.is_some()))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(x.of.buffer),
                Binding::Read(index.unwrap_or(x.of.buffer)),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([params.columns.div_ceil(64), word(out.rows), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

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

/// out = out + x.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// (T, C).
    pub x: Tensor,
    /// (T, C).
    pub out: Tensor,
}

impl Op for Add {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, out } = self;
        ensure((x.rows, x.columns) == (out.rows, out.columns), "add", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        let fours = x.rows * x.stride() / 4;
        recording.push(Dispatch {
            program: Program::new(kernel("add")),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}

/// x = scale · x + add, for some rows and columns of x.
#[derive(Clone, Debug)]
pub struct ScaleAdd {
    /// Columns of (T, ..); all of them change.
    pub x: Columns,
    /// The rows that change.
    pub rows: Range<usize>,
    /// With 0 the old value does not count, whatever it is.
    pub scale: f32,
    /// (N, C) for the N rows that change, or (1, C), the same for each.
    pub add: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ScaleAddParams {
    columns: u32,
    row: u32,
    start: u32,
    step: u32,
    x_stride: u32,
    add_stride: u32,
    scale: f32,
    padding: u32,
}

impl Op for ScaleAdd {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, rows, scale, add } = self;
        let fits = x.end() <= x.of.columns
            && rows.end <= x.of.rows
            && add.columns == x.count
            && (add.rows == 1 || add.rows == rows.len());
        ensure(fits, "scale_add", || {
            format!(
                "{} x {} values for rows {rows:?} and columns {}..+{} of {} x {}",
                add.rows, add.columns, x.start, x.count, x.of.rows, x.of.columns
            )
        })?;
        let params = ScaleAddParams {
            columns: word(x.count),
            row: word(rows.start),
            start: word(x.start),
            step: word(x.step),
            x_stride: word(x.of.stride()),
            add_stride: if add.rows == 1 { 0 } else { word(add.stride()) },
            scale: *scale,
            padding: 0,
        };
        recording.push(Dispatch {
            program: Program::new(kernel("scale_add")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(add.buffer), Binding::Write(x.of.buffer)]],
            grid: Grid::Fixed([word(x.count.div_ceil(64)), word(rows.len()), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

/// The natural logarithm of each target's probability.
#[derive(Clone, Copy, Debug)]
pub struct LogProb {
    /// (T, V).
    pub logits: Tensor,
    /// (T): token ids.
    pub targets: BufferId,
    /// (T): a buffer of T values, without padding.
    pub out: BufferId,
}

impl Op for LogProb {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { logits, targets, out } = self;
        let params = [word(logits.columns), word(logits.stride() / 4), 0, 0];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("log_prob"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(logits.buffer),
                Binding::Read(*targets),
                Binding::Write(*out),
            ]],
            grid: Grid::Fixed([word(logits.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
