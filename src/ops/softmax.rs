//! `softmax`: the second step of attention on its own.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording, Tensor, params};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{Op, ensure, word};

/// out = softmax(x) over the keys that each row may see, zero elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// (H·T, S).
    pub x: Tensor,
    /// H: heads.
    pub heads: usize,
    /// How many latest positions a row sees, its own included; all without.
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
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { rows, x, heads, window, out } = self;
        let fits = (x.rows, x.columns) == (out.rows, out.columns) && x.rows.is_multiple_of(*heads);
        ensure(fits, "softmax", || {
            format!(
                "x is {} x {}, out {} x {}, for {heads} heads",
                x.rows, x.columns, out.rows, out.columns
            )
        })?;
        let count = x.rows / heads;
        let params = Params {
            rows: word(count),
            keys: word(x.columns),
            stride: word(x.stride()),
            window: word(window.unwrap_or(0)),
        };
        recording
            .dispatch(choices.reduce.apply(Program::new(kernel("softmax"))), &params)
            .read(0, *rows)
            .read(0, x.buffer)
            .write(0, out.buffer)
            .grid([word(count), word(*heads), 1]);
        Ok(())
    }
}
