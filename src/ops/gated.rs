//! `gated`: a gated perceptron's product on its own, where it is not the epilogue of a linear map.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::activation::number;
use super::choices::Choices;
use super::columns::Columns;
use super::kernels::{kernel, part};
use super::op::{Op, ensure, word};

/// out = f(gate) ⊙ up.
#[derive(Clone, Copy, Debug)]
pub struct Gated {
    /// (T, F).
    pub gate: Columns,
    /// (T, F), with the same step.
    pub up: Columns,
    /// f.
    pub function: Nonlinearity,
    /// (T, F).
    pub out: Tensor,
}

params! {
    struct Params {
        columns: u32,
        step: u32,
        gate_start: u32,
        gate_stride: u32,
        up_start: u32,
        up_stride: u32,
        out_stride: u32,
    }
}

impl Op for Gated {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { gate, up, function, out } = self;
        let fits = gate.count == out.columns && up.count == out.columns && gate.step == up.step;
        ensure(fits, "gated", || {
            format!("gate has {} columns, up {}, out {}", gate.count, up.count, out.columns)
        })?;
        let params = Params {
            columns: word(out.columns),
            step: word(gate.step),
            gate_start: word(gate.start),
            gate_stride: word(gate.of.stride()),
            up_start: word(up.start),
            up_stride: word(up.of.stride()),
            out_stride: word(out.stride()),
        };
        let program = Program::new(kernel("gated"))
            .part(part("activation"))
            .constant("ACTIVATION", number(*function));
        recording
            .dispatch(program, &params)
            .read(0, gate.of.buffer)
            .read(0, up.of.buffer)
            .write(0, out.buffer)
            .grid([word(out.columns.div_ceil(64)), word(out.rows), 1]);
        Ok(())
    }
}
