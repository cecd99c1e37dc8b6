//! `head_norm`: an RMS norm a head, before rotation.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

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

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadNormParams {
    heads: u32,
    queries: u32,
    width: u32,
    start: u32,
    stride: u32,
    gain_stride: u32,
    eps: f32,
    padding: u32,
}

impl Op for HeadNorm {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, queries, gains, eps } = self;
        let width = gains.columns;
        ensure(gains.rows == 2 && x.count.is_multiple_of(width), "head_norm", || {
            format!("{} columns, gains {} x {width}", x.count, gains.rows)
        })?;
        let heads = x.count / width;
        let params = HeadNormParams {
            heads: word(heads),
            queries: word(*queries),
            width: word(width),
            start: word(x.start),
            stride: word(x.of.stride()),
            gain_stride: word(gains.stride()),
            eps: *eps as f32,
            padding: 0,
        };
        recording.push(Dispatch {
            program: Program::new(kernel("head_norm")),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(gains.buffer), Binding::Write(x.of.buffer)]],
            grid: Grid::Fixed([word(heads.div_ceil(64)), word(x.of.rows), 1]),
            weight_bytes: gains.bytes(),
        });
        Ok(())
    }
}
