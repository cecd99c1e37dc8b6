//! `head_norm`: an RMS norm per head, before rotation.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::columns::Columns;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// RMS-normalizes each head in place; heads from `queries` on use the second row of gains.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorm {
    /// Heads of the gains' width.
    pub x: Columns,
    /// How many heads use the first gain.
    pub queries: usize,
    /// (2, D).
    pub gains: Tensor,
    /// ε.
    pub eps: f64,
}

params! {
    struct Params {
        heads: u32,
        queries: u32,
        width: u32,
        start: u32,
        stride: u32,
        gain_stride: u32,
        eps: f32,
    }
}

impl Op for HeadNorm {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, queries, gains, eps } = self;
        let width = gains.columns;
        check_shape(gains.rows == 2 && x.count.is_multiple_of(width), "head_norm", || {
            format!("{} columns, gains {} x {width}", x.count, gains.rows)
        })?;
        let heads = x.count / width;
        let params = Params {
            heads: to_u32(heads),
            queries: to_u32(*queries),
            width: to_u32(width),
            start: to_u32(x.start),
            stride: to_u32(x.of.stride()),
            gain_stride: to_u32(gains.stride()),
            eps: *eps as f32,
        };
        recording
            .dispatch(Program::new(kernel("head_norm")), &params)
            .read(0, gains.buffer)
            .write(0, x.of.buffer)
            .weight_bytes(gains.bytes())
            .grid([to_u32(heads.div_ceil(64)), to_u32(x.of.rows), 1]);
        Ok(())
    }
}
