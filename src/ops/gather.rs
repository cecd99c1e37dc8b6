//! `gather`: rows by index.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::columns::Columns;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

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

params! {
    struct Params {
        columns: u32,
        start: u32,
        step: u32,
        x_stride: u32,
        out_stride: u32,
    }
}

impl Op for Gather {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, index, out } = self;
        check_shape(x.count == out.columns && x.end() <= x.of.columns, "gather", || {
            format!("columns {}..+{} of {} into {}", x.start, x.count, x.of.columns, out.columns)
        })?;
        check_shape(index.is_some() || x.of.rows == out.rows, "gather", || {
            format!("{} rows into {} without an index", x.of.rows, out.rows)
        })?;
        let params = Params {
            columns: to_u32(x.count),
            start: to_u32(x.start),
            step: to_u32(x.step),
            x_stride: to_u32(x.of.stride()),
            out_stride: to_u32(out.stride()),
        };
        let program = Program::new(kernel("gather")).constant("INDEXED", index.is_some());
        recording
            .dispatch(program, &params)
            .read(0, x.of.buffer)
            .read(0, index.unwrap_or(x.of.buffer))
            .write(0, out.buffer)
            .grid([params.columns.div_ceil(64), to_u32(out.rows), 1]);
        Ok(())
    }
}
