//! Small movers of rows: `gather` and `add`; and `log_prob`.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::rope::Columns;
use super::{Choices, Op, ensure, kernel, spread, word};

/// out_i = x_(index_i), or row i itself without an index.
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
