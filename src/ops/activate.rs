//! `activate`: a perceptron's function on its own, where it is not the epilogue of a linear map.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::activation::number;
use super::choices::Choices;
use super::kernels::{kernel, part};
use super::op::{Op, ensure, spread, word};

/// out = f(x).
#[derive(Clone, Copy, Debug)]
pub struct Activate {
    /// (T, F).
    pub x: Tensor,
    /// f.
    pub function: Nonlinearity,
    /// (T, F).
    pub out: Tensor,
}

impl Op for Activate {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, function, out } = self;
        ensure((x.rows, x.columns) == (out.rows, out.columns), "activate", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        let fours = x.rows * x.stride() / 4;
        recording.push(Dispatch {
            program: Program::new(kernel("activate"))
                .part(part("activation"))
                .constant("ACTIVATION", number(*function)),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}
