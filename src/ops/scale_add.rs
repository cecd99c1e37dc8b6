//! `scale_add`: an edit of some rows and columns.

use std::ops::Range;

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::columns::Columns;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// x = scale · x + add, for some rows and columns of x.
#[derive(Clone, Debug)]
pub struct ScaleAdd {
    /// Columns of (T, ..); all of them change.
    pub x: Columns,
    /// The rows that change.
    pub rows: Range<usize>,
    /// With 0 the old value is ignored, whatever it is.
    pub scale: f32,
    /// (N, C) for the N rows that change, or (1, C), the same for each row.
    pub add: Tensor,
}

params! {
    struct Params {
        columns: u32,
        row: u32,
        start: u32,
        step: u32,
        x_stride: u32,
        add_stride: u32,
        scale: f32,
    }
}

impl Op for ScaleAdd {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, rows, scale, add } = self;
        let fits = x.end() <= x.of.columns
            && rows.end <= x.of.rows
            && add.columns == x.count
            && (add.rows == 1 || add.rows == rows.len());
        check_shape(fits, "scale_add", || {
            format!(
                "{} x {} values for rows {rows:?} and columns {}..+{} of {} x {}",
                add.rows, add.columns, x.start, x.count, x.of.rows, x.of.columns
            )
        })?;
        let params = Params {
            columns: to_u32(x.count),
            row: to_u32(rows.start),
            start: to_u32(x.start),
            step: to_u32(x.step),
            x_stride: to_u32(x.of.stride()),
            add_stride: if add.rows == 1 { 0 } else { to_u32(add.stride()) },
            scale: *scale,
        };
        recording
            .dispatch(Program::new(kernel("scale_add")), &params)
            .read(0, add.buffer)
            .write(0, x.of.buffer)
            .grid([to_u32(x.count.div_ceil(64)), to_u32(rows.len()), 1]);
        Ok(())
    }
}
