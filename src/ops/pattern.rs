//! Attention in steps that write its scores and its pattern out: `attention_scores`, `softmax` and
//! `attention_mix`. A pattern is (H·T, S): for each head the rows, for each row the keys so far.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::attention::capped;
use super::rope::Cache;
use super::{Choices, Op, ensure, kernel, word};

/// The score of a key that a row does not see: finite, since WGSL promises no infinity.
pub const MASKED: f32 = -1e30;

/// scores = softcap(scale · q kᵀ) over the keys that each row may see, [`MASKED`] elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct AttentionScores<'a> {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// Queries after rotation, (T, H·D).
    pub q: Tensor,
    /// Keys and values, those of the rows themselves included.
    pub cache: &'a Cache,
    /// How many latest positions a row sees, its own included; all without.
    pub window: Option<usize>,
    /// What q kᵀ is multiplied by: 1/√D unless the model says otherwise.
    pub scale: f64,
    /// Bounds scores softly before they are masked: s = cap · tanh(s / cap).
    pub softcap: Option<f64>,
    /// (H·T, S).
    pub out: Tensor,
}

/// out = softmax(x) over the keys that each row may see, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub x: Tensor,
    /// H: heads.
    pub heads: usize,
    /// How many latest positions a row sees, its own included; all without.
    pub window: Option<usize>,
    /// (H·T, S).
    pub out: Tensor,
}

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

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ScoresParams {
    rows: u32,
    keys: u32,
    heads: u32,
    kv_heads: u32,
    width: u32,
    q_stride: u32,
    out_stride: u32,
    context: u32,
    window: u32,
    first: u32,
    scale: f32,
    padding: u32,
}

/// Checks that a pattern has a row for each head of each row of `of`, and no more keys than the
/// cache has positions; gives the number of heads.
fn heads(op: &'static str, of: &Tensor, cache: &Cache, pattern: &Tensor) -> Result<usize> {
    ensure(of.columns.is_multiple_of(cache.heads * cache.width), op, || {
        format!("{} columns for {} key heads of {}", of.columns, cache.heads, cache.width)
    })?;
    let heads = of.columns / cache.width;
    let fits = pattern.rows == heads * of.rows && pattern.columns <= cache.context;
    ensure(fits, op, || {
        format!(
            "a pattern of {} x {} for {heads} heads, {} rows and {} positions",
            pattern.rows, pattern.columns, of.rows, cache.context
        )
    })?;
    Ok(heads)
}

impl Op for AttentionScores<'_> {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, q, cache, window, scale, softcap, out } = self;
        let heads = heads("attention_scores", q, cache, out)?;
        for part in cache.parts.iter().filter(|part| part.first < out.columns) {
            let keys = part.count.min(out.columns - part.first);
            let params = ScoresParams {
                rows: word(q.rows),
                keys: word(keys),
                heads: word(heads),
                kv_heads: word(cache.heads),
                width: word(cache.width),
                q_stride: word(q.stride()),
                out_stride: word(out.stride()),
                context: word(part.count),
                window: word(window.unwrap_or(0)),
                first: word(part.first),
                scale: *scale as f32,
                padding: 0,
            };
            recording.push(Dispatch {
                program: capped(Program::new(kernel("attention_scores")), *softcap)
                    .part(cache.reader()),
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![
                    vec![Binding::Read(*rows), Binding::Read(q.buffer), Binding::Write(out.buffer)],
                    Vec::new(),
                    Vec::new(),
                    part.reads(),
                ],
                grid: Grid::Fixed([word(keys.div_ceil(64)), word(q.rows), word(heads)]),
                weight_bytes: 0,
            });
        }
        Ok(())
    }
}

impl Op for Softmax {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { rows, x, heads, window, out } = self;
        let fits = (x.rows, x.columns) == (out.rows, out.columns) && x.rows.is_multiple_of(*heads);
        ensure(fits, "softmax", || {
            format!(
                "x is {} x {}, out {} x {}, for {heads} heads",
                x.rows, x.columns, out.rows, out.columns
            )
        })?;
        let count = x.rows / heads;
        let params = [word(count), word(x.columns), word(x.stride()), word(window.unwrap_or(0))];
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("softmax"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(*rows),
                Binding::Read(x.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(count), word(*heads), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}

impl Op for AttentionMix<'_> {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { rows, pattern, cache, out } = self;
        let heads = heads("attention_mix", out, cache, pattern)?;
        for part in cache.parts.iter().filter(|part| part.first < pattern.columns) {
            let params = [
                out.rows,
                part.count.min(pattern.columns - part.first),
                heads,
                cache.heads,
                cache.width,
                pattern.stride(),
                out.stride(),
                part.count,
                part.first,
                0,
                0,
                0,
            ];
            let program = Program::new(kernel("attention_mix")).part(cache.reader());
            recording.push(Dispatch {
                program: program.constant("ADD", f64::from(u8::from(part.first > 0))),
                params: bytemuck::bytes_of(&params.map(word)).to_vec(),
                groups: vec![
                    vec![
                        Binding::Read(*rows),
                        Binding::Read(pattern.buffer),
                        Binding::Write(out.buffer),
                    ],
                    Vec::new(),
                    Vec::new(),
                    part.reads(),
                ],
                grid: Grid::Fixed([word((heads * cache.fours()).div_ceil(64)), word(out.rows), 1]),
                weight_bytes: 0,
            });
        }
        Ok(())
    }
}
