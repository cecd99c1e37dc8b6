//! `gated`: the product of a gated MLP on its own, when it is not the epilogue of a linear layer.

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};

use super::activation::number;
use super::columns::Columns;
use super::op::{Op, check_shape, to_u32};
use crate::select::{KernelSelection, kernel, part};

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
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { gate, up, function, out } = self;
        let fits = gate.count == out.columns && up.count == out.columns && gate.step == up.step;
        check_shape(fits, "gated", || {
            format!("gate has {} columns, up {}, out {}", gate.count, up.count, out.columns)
        })?;
        let params = Params {
            columns: to_u32(out.columns),
            step: to_u32(gate.step),
            gate_start: to_u32(gate.start),
            gate_stride: to_u32(gate.of.stride()),
            up_start: to_u32(up.start),
            up_stride: to_u32(up.of.stride()),
            out_stride: to_u32(out.stride()),
        };
        let program = Program::new(kernel("gated"))
            .part(part("activation"))
            .constant("ACTIVATION", number(*function));
        recording
            .dispatch(program, &params)
            .read(0, gate.of.buffer)
            .read(0, up.of.buffer)
            .write(0, out.buffer)
            .grid([to_u32(out.columns.div_ceil(64)), to_u32(out.rows), 1]);
        Ok(())
    }
}
