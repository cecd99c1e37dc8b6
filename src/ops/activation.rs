//! `activate` and `gated` on their own, where they are not the epilogue of a linear map.

use bytemuck::{Pod, Zeroable};

use crate::config::Nonlinearity;
use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::rope::Columns;
use super::{Choices, Op, ensure, kernel, part, spread, word};

/// A function's number in the part `activation`; 0 is no function.
pub(super) fn number(function: Nonlinearity) -> u32 {
    match function {
        Nonlinearity::GeluTanh => 1,
        Nonlinearity::Gelu => 2,
        Nonlinearity::Silu => 3,
    }
}

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

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    step: u32,
    gate_start: u32,
    gate_stride: u32,
    up_start: u32,
    up_stride: u32,
    out_stride: u32,
    padding: u32,
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
            padding: 0,
        };
        recording.push(Dispatch {
            program: Program::new(kernel("gated"))
                .part(part("activation"))
                .constant("ACTIVATION", number(*function)),
            params: bytemuck::bytes_of(&params).to_vec(),
            groups: vec![vec![
                Binding::Read(gate.of.buffer),
                Binding::Read(up.of.buffer),
                Binding::Write(out.buffer),
            ]],
            grid: Grid::Fixed([word(out.columns.div_ceil(64)), word(out.rows), 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
