//! `divide_rows`: a norm's division on its own.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, check_shape, grid_vec4, same_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = x / scale, row by row.
#[derive(Clone, Copy, Debug)]
pub struct DivideRows {
    /// (T, C).
    pub x: Tensor,
    /// (T, 1).
    pub scale: Tensor,
    /// (T, C).
    pub out: Tensor,
}

params! {
    struct Params {
        stride: u32,
        scale_stride: u32,
    }
}

impl Op for DivideRows {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x, scale, out } = self;
        same_shape("divide_rows", x, out)?;
        check_shape((scale.rows, scale.columns) == (x.rows, 1), "divide_rows", || {
            format!("x has {} rows, scale is {} x {}", x.rows, scale.rows, scale.columns)
        })?;
        let params =
            Params { stride: to_u32(x.stride() / 4), scale_stride: to_u32(scale.stride()) };
        recording
            .dispatch(Program::new(kernel("divide_rows")), &params)
            .read(0, x.buffer)
            .read(0, scale.buffer)
            .write(0, out.buffer)
            .grid(grid_vec4(x));
        Ok(())
    }
}
