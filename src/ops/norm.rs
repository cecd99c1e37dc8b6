//! What `layer_norm` and `rms_norm` share: one workgroup a row, and gains that may be left out.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Tensor};

use super::choices::Choices;
use super::kernels::kernel;
use super::op::{ensure, spread, word};

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    columns: u32,
    stride: u32,
    eps: f32,
    padding: u32,
}

pub(super) fn check(op: &'static str, x: &Tensor, vectors: &[Tensor], out: &Tensor) -> Result<()> {
    ensure((x.rows, x.columns) == (out.rows, out.columns), op, || {
        format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
    })?;
    for vector in vectors {
        ensure(vector.columns == x.columns, op, || {
            format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
        })?;
    }
    Ok(())
}

pub(super) fn dispatch(
    name: &str,
    choices: &Choices,
    x: &Tensor,
    eps: f64,
    affine: &[Tensor],
    has: bool,
    out: &Tensor,
) -> Dispatch {
    let params = Params {
        columns: word(x.columns),
        stride: word(x.stride() / 4),
        eps: eps as f32,
        padding: 0,
    };
    let mut bindings = vec![Binding::Read(x.buffer)];
    bindings.extend(affine.iter().map(|vector| Binding::Read(vector.buffer)));
    bindings.push(Binding::Write(out.buffer));
    Dispatch {
        program: choices
            .reduce
            .apply(Program::new(kernel(name)))
            .constant("GAIN", f64::from(u8::from(has))),
        params: bytemuck::bytes_of(&params).to_vec(),
        groups: vec![bindings],
        grid: Grid::Fixed(spread(x.rows)),
        weight_bytes: affine.iter().filter(|_| has).map(|vector| vector.columns as u64 * 4).sum(),
    }
}
