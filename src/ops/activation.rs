//! `gelu` and `swiglu` on their own, where they are not the epilogue of a linear map.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::rope::Columns;
use super::{Choices, Op, ensure, kernel, part, spread, word};

/// out = gelu(x), GPT-2's tanh form.
#[derive(Clone, Copy, Debug)]
pub struct Gelu {
    /// (T, F).
    pub x: Tensor,
    /// (T, F).
    pub out: Tensor,
}

impl Op for Gelu {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { x, out } = self;
        ensure((x.rows, x.columns) == (out.rows, out.columns), "gelu", || {
            format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
        })?;
        let fours = x.rows * x.stride() / 4;
        recording.push(Dispatch {
            program: Program::new(kernel("gelu")).part(part("activation")),
            params: bytemuck::bytes_of(&[word(fours), 0, 0, 0]).to_vec(),
            groups: vec![vec![Binding::Read(x.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed(spread(fours.div_ceil(64))),
            weight_bytes: 0,
        });
        Ok(())
    }
}

/// out = silu(gate) ⊙ up.
#[derive(Clone, Copy, Debug)]
pub struct SwiGlu {
    /// (T, F).
    pub gate: Columns,
    /// (T, F), with the same step.
    pub up: Columns,
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

impl Op for SwiGlu {
    fn record(&self, recording: &mut Recording, _: &Choices) -> Result<()> {
        let Self { gate, up, out } = self;
        let fits = gate.count == out.columns && up.count == out.columns && gate.step == up.step;
        ensure(fits, "swiglu", || {
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
            program: Program::new(kernel("swiglu")).part(part("activation")),
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
