//! `clear_padding`: zeros where a product reads more than a row's values.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::op::{Op, grid_1d, to_u32};
use crate::select::{KernelSelection, kernel};

/// The padding of every row of x becomes zero. Rows without padding take no dispatch.
#[derive(Clone, Copy, Debug)]
pub struct ClearPadding {
    /// (T, C).
    pub x: Tensor,
}

params! {
    struct Params {
        rows: u32,
        columns: u32,
        stride: u32,
    }
}

impl Op for ClearPadding {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { x } = self;
        if x.stride() == x.columns {
            return Ok(());
        }
        let params =
            Params { rows: to_u32(x.rows), columns: to_u32(x.columns), stride: to_u32(x.stride()) };
        recording
            .dispatch(Program::new(kernel("clear_padding")), &params)
            .write(0, x.buffer)
            .grid(grid_1d(x.rows.div_ceil(64)));
        Ok(())
    }
}
