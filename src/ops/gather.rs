//! `gather`: rows by their numbers.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::columns::Columns;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

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
