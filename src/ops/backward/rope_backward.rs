//! `rope_backward`: the derivative of the rotation: rotates back, and joins queries, keys and
//! values.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// The gradients of queries, keys and values before rotation, joined in rows.
#[derive(Clone, Copy, Debug)]
pub struct RopeBackward {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (T, H·D).
    pub dq: Tensor,
    /// (T, K·D).
    pub dk: Tensor,
    /// (T, K·D).
    pub dv: Tensor,
    /// The table of [`rope_table`](crate::ops::rope_table), and how many values of each head it
    /// rotates; nothing is rotated if `None`.
    pub table: Option<(BufferId, usize)>,
    /// D: width of a head.
    pub width: usize,
    /// (T, (H + 2K)·D).
    pub out: Tensor,
}

params! {
    struct Params {
        queries: u32,
        keys: u32,
        width: u32,
        rotated: u32,
        q_stride: u32,
        k_stride: u32,
        out_stride: u32,
    }
}

impl Op for RopeBackward {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, dq, dk, dv, table, width, out } = self;
        let all = dq.columns + dk.columns + dv.columns;
        let heads = [dq, dk].iter().all(|tensor| tensor.columns.is_multiple_of(*width));
        check_shape(
            out.columns == all && dk.columns == dv.columns && heads,
            "rope_backward",
            || {
                format!(
                    "{} queries, {} keys and {} values in heads of {width}, {} together",
                    dq.columns, dk.columns, dv.columns, out.columns
                )
            },
        )?;
        let equal = [dk, dv, out].iter().all(|tensor| tensor.rows == dq.rows);
        check_shape(equal, "rope_backward", || format!("not all have {} rows", dq.rows))?;
        let params = Params {
            queries: to_u32(dq.columns),
            keys: to_u32(dk.columns),
            width: to_u32(*width),
            rotated: to_u32(table.map_or(0, |(_, rotated)| rotated)),
            q_stride: to_u32(dq.stride()),
            k_stride: to_u32(dk.stride()),
            out_stride: to_u32(out.stride()),
        };
        recording
            .dispatch(Program::new(kernel("rope_backward")), &params)
            .read(0, *rows)
            .read(0, dq.buffer)
            .read(0, dk.buffer)
            .read(0, dv.buffer)
            // If nothing is rotated, the slot holds the queries, which the kernel then ignores.
            .read(0, table.map_or(dq.buffer, |(buffer, _)| buffer))
            .write(0, out.buffer)
            .grid([to_u32(all.div_ceil(64)), to_u32(out.rows), 1]);
        Ok(())
    }
}
