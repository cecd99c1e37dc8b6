//! `rms_scale`: what a norm divides by, where it has a name.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

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

params! {
    struct Params {
        columns: u32,
        stride: u32,
        out_stride: u32,
        eps: f32,
    }
}

impl Op for RmsScale {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, eps, out } = self;
        ensure((out.rows, out.columns) == (x.rows, 1), "rms_scale", || {
            format!("x has {} rows, out is {} x {}", x.rows, out.rows, out.columns)
        })?;
        let params = Params {
            columns: word(x.columns),
            stride: word(x.stride()),
            out_stride: word(out.stride()),
            eps: *eps as f32,
        };
        recording
            .dispatch(choices.reduce.apply(Program::new(kernel("rms_scale"))), &params)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid([word(x.rows), 1, 1]);
        Ok(())
    }
}
