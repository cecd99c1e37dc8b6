//! `head_norm`: an RMS norm a head, before rotation.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::choices::Choices;
use super::columns::Columns;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

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
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, queries, gains, eps } = self;
        let width = gains.columns;
        ensure(gains.rows == 2 && x.count.is_multiple_of(width), "head_norm", || {
            format!("{} columns, gains {} x {width}", x.count, gains.rows)
        })?;
        let heads = x.count / width;
        let params = Params {
            heads: word(heads),
            queries: word(*queries),
            width: word(width),
            start: word(x.start),
            stride: word(x.of.stride()),
            gain_stride: word(gains.stride()),
            eps: *eps as f32,
        };
        recording
            .dispatch(Program::new(kernel("head_norm")), &params)
            .read(0, gains.buffer)
            .write(0, x.of.buffer)
            .weight_bytes(gains.bytes())
            .grid([word(heads.div_ceil(64)), word(x.of.rows), 1]);
        Ok(())
    }
}
