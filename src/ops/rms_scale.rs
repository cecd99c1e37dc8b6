//! `rms_scale`: a norm's divisor, as a named value.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = √(mean(x²) + ε), row by row.
#[derive(Clone, Copy, Debug)]
pub struct RmsScale {
    /// (T, C); centered, for a layer norm.
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
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { x, eps, out } = self;
        check_shape((out.rows, out.columns) == (x.rows, 1), "rms_scale", || {
            format!("x has {} rows, out is {} x {}", x.rows, out.rows, out.columns)
        })?;
        let params = Params {
            columns: to_u32(x.columns),
            stride: to_u32(x.stride()),
            out_stride: to_u32(out.stride()),
            eps: *eps as f32,
        };
        recording
            .dispatch(selection.reduce.apply(Program::new(kernel("rms_scale"))), &params)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid([to_u32(x.rows), 1, 1]);
        Ok(())
    }
}
