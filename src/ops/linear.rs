//! A linear map: `matvec` for a few rows, `matmul` for many; the weight's format picks the decoder.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};

use super::{Choices, Op, Weight, ensure, kernel, part, spread, word};

/// out = x Wᵀ, then what [`Store`] says.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// (T, C).
    pub x: Tensor,
    /// (N, C).
    pub weight: &'a Weight,
    /// (1, N).
    pub bias: Option<Tensor>,
    /// What happens to the products.
    pub store: Store,
    /// (T, N), or (T, N/2) for [`Store::SwiGlu`].
    pub out: Tensor,
}

/// What a linear map does with its products, after the bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// Writes them.
    Write,
    /// Adds them to what is there: the residual stream.
    Add,
    /// Writes gelu of them.
    Gelu,
    /// Rows of gate and up alternate: writes silu(gate) ⊙ up.
    SwiGlu,
}

/// The most rows for which [`Linear`] takes `matvec`.
const FEW: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    words: u32,
    x_stride: u32,
    out_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    padding: [u32; 2],
}

impl Op for Linear<'_> {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, weight, bias, store, out } = self;
        let op = if x.rows <= FEW { "matvec" } else { "matmul" };
        ensure(x.columns == weight.columns, op, || {
            format!("x has {} columns, {} has {}", x.columns, weight.name, weight.columns)
        })?;
        let outputs = if *store == Store::SwiGlu { weight.rows / 2 } else { weight.rows };
        ensure((out.rows, out.columns) == (x.rows, outputs), op, || {
            format!("out is {} x {}, not {} x {outputs}", out.rows, out.columns, x.rows)
        })?;
        ensure(bias.is_none_or(|bias| bias.columns == weight.rows), op, || {
            format!("the bias of {} does not have its {} rows", weight.name, weight.rows)
        })?;
        for piece in &weight.parts {
            let params = Params {
                words: weight.words(),
                x_stride: word(x.stride() / 4),
                out_stride: word(out.stride() / 4),
                rows: word(x.rows),
                count: word(piece.rows),
                first: word(piece.first),
                padding: [0; 2],
            };
            let (program, grid) = if x.rows <= FEW {
                let program = choices.lanes.apply(Program::new(kernel("matvec")));
                let groups = piece.rows.div_ceil(4).div_ceil(choices.lanes.groups());
                (program.constant("COLS", word(x.rows)), spread(groups))
            } else {
                let tile = choices.matmul;
                let grid = [
                    word(piece.rows.div_ceil(8)).div_ceil(tile.n),
                    word(x.rows.div_ceil(8)).div_ceil(tile.t),
                    1,
                ];
                let program = Program::new(kernel("matmul"));
                (program.constant("WG_N", tile.n).constant("WG_T", tile.t), grid)
            };
            let flag = |on: bool| f64::from(u8::from(on));
            let program = program.part(weight.decoder()).part(part("activation"));
            let program = match store {
                Store::SwiGlu => program.part(part("store_swiglu")),
                _ => program
                    .part(part("store_plain"))
                    .constant("ADD", flag(*store == Store::Add))
                    .constant("GELU", flag(*store == Store::Gelu)),
            };
            // Without a bias its slot holds x, which the kernel then does not touch.
            let bias_buffer = bias.unwrap_or(*x).buffer;
            recording.push(Dispatch {
                program: program.constant("BIAS", flag(bias.is_some())),
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![
                    vec![Binding::Read(x.buffer)],
                    Weight::bindings(piece),
                    vec![Binding::Read(bias_buffer), Binding::Write(out.buffer)],
                ],
                grid: Grid::Fixed(grid),
                weight_bytes: weight.part_bytes(piece) + bias.map_or(0, |_| piece.rows as u64 * 4),
            });
        }
        Ok(())
    }
}
