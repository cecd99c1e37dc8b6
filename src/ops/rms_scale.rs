//! `rms_scale`: what a norm divides by, where it has a name.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

/// out = √(mean(x²) + ε), row by row.
#[derive(Clone, Copy, Debug)]
pub struct RmsScale {
    /// (T, C); centred, for a layer norm.
    pub x: Tensor,
    /// ε.
    pub eps: f64,
    /// (T, 1).
    pub out: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RmsScaleParams {
    columns: u32,
    stride: u32,
    out_stride: u32,
    eps: f32,
}

impl Op for RmsScale {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, eps, out } = self;
        ensure((out.rows, out.columns) == (x.rows, 1), "rms_scale", || {
            format!("x has {} rows, out is {} x {}", x.rows, out.rows, out.columns)
        })?;
        let params = RmsScaleParams {
            columns: word(x.columns),
            stride: word(x.stride()),
            out_stride: word(out.stride()),
            eps: *eps as f32,
        };
        recording.push(Dispatch {
            program: choices.reduce.apply(Program::new(kernel("rms_scale"))),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(x.rows), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
