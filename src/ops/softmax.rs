//! `softmax`: the second step of attention on its own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel};

/// out = softmax(x) over the keys that each row may see, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub x: Tensor,
    /// H: heads.
    pub heads: usize,
    /// How many of the latest positions a row sees, its own included; all if `None`.
    pub window: Option<usize>,
    /// (H·T, S).
    pub out: Tensor,
}

params! {
    struct Params {
        rows: u32,
        keys: u32,
        stride: u32,
        window: u32,
    }
}

impl Op for Softmax {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { rows, x, heads, window, out } = self;
        let fits = (x.rows, x.columns) == (out.rows, out.columns) && x.rows.is_multiple_of(*heads);
        check_shape(fits, "softmax", || {
            format!(
                "x is {} x {}, out {} x {}, for {heads} heads",
                x.rows, x.columns, out.rows, out.columns
            )
        })?;
        let count = x.rows / heads;
        let params = Params {
            rows: to_u32(count),
            keys: to_u32(x.columns),
            stride: to_u32(x.stride()),
            window: to_u32(window.unwrap_or(0)),
        };
        recording
            .dispatch(selection.reduce.apply(Program::new(kernel("softmax"))), &params)
            .read(0, *rows)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid([to_u32(count), to_u32(*heads), 1]);
        Ok(())
    }
}
