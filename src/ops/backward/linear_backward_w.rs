//! `linear_backward_w`: the derivative of y = x Wᵀ by W.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, ensure, spread, word};
use crate::ops::variants::Matmul;
use crate::ops::weight::Weight;

use super::gradient::plain;
use super::squares::{SQUARE, by_eights};

/// dW += dyᵀ x.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardW<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (T, C).
    pub x: Tensor,
    /// (N, C), f32.
    pub gradient: &'a Weight,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ParamsW {
    words: u32,
    dy_stride: u32,
    x_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    columns: u32,
    share: u32,
}

/// The most rows that a share of them needs, whatever the matrix.
const LEAST_SHARE: usize = 128;

/// Workgroups that keep a large device busy.
const BUSY: usize = 1024;

/// The most values of all shares together: 64 MiB.
const MOST_SHARED: usize = 1 << 24;

/// The rows of each share where a matrix of so many outputs and inputs sums over them: all of them where
/// the matrix itself keeps a device busy.
fn share_of(rows: usize, outputs: usize, inputs: usize) -> usize {
    let squares = outputs.div_ceil(SQUARE) * inputs.div_ceil(SQUARE);
    let most = (MOST_SHARED / (outputs * inputs).max(1)).min(rows.div_ceil(LEAST_SHARE));
    let shares = (BUSY / squares).min(most).max(1);
    rows.div_ceil(shares).next_multiple_of(32)
}

impl Op for LinearBackwardW<'_> {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        const OP: &str = "matmul_backward_w";
        let Self { dy, x, gradient } = self;
        plain(OP, gradient)?;
        let fits = dy.columns == gradient.rows && x.columns == gradient.columns;
        ensure(fits && dy.rows == x.rows, OP, || {
            format!(
                "dy is {} x {}, x {} x {}, {} {} x {}",
                dy.rows,
                dy.columns,
                x.rows,
                x.columns,
                gradient.name,
                gradient.rows,
                gradient.columns
            )
        })?;
        for piece in &gradient.parts {
            let mut params = ParamsW {
                words: gradient.words(),
                dy_stride: word(dy.stride() / 4),
                x_stride: word(x.stride() / 4),
                rows: word(dy.rows),
                count: word(piece.rows),
                first: word(piece.first),
                columns: word(gradient.columns),
                share: word(dy.rows),
            };
            let plane = piece.planes[0];
            let (program, grid, to) = match choices.matmul {
                Matmul::Direct { n, t } => {
                    let (program, grid) = by_eights(OP, [n, t], gradient.columns, piece.rows);
                    (program, grid, plane)
                }
                Matmul::Tiled | Matmul::TiledHalf => {
                    let share = share_of(dy.rows, piece.rows, gradient.columns);
                    let shares = dy.rows.div_ceil(share);
                    let program = Program::new(kernel("matmul_backward_w_tiled"))
                        .constant("SPLIT", f64::from(u8::from(shares > 1)));
                    let squares = |size: usize| word(size.div_ceil(SQUARE));
                    let grid = [squares(gradient.columns), squares(piece.rows), word(shares)];
                    params.share = word(share);
                    let to = match shares {
                        1 => plane,
                        _ => recording.tensor(shares * piece.rows, gradient.columns).buffer,
                    };
                    (program, Grid::Fixed(grid), to)
                }
            };
            recording.push(Dispatch {
                program,
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![vec![
                    Binding::Read(dy.buffer),
                    Binding::Read(x.buffer),
                    Binding::Write(to),
                ]],
                grid,
                weight_bytes: gradient.part_bytes(piece),
            });
            if to != plane {
                let fours = params.count * params.words;
                let shares = params.rows.div_ceil(params.share);
                recording.push(add_shares(to, shares, plane, fours));
            }
        }
        Ok(())
    }
}

/// out += the sum of so many arrays of so many fours.
fn add_shares(from: BufferId, shares: u32, out: BufferId, fours: u32) -> Dispatch {
    Dispatch {
        program: Program::new(kernel("add_shares")),
        params: bytemuck::bytes_of(&[fours, shares, 0, 0]).to_vec(),
        groups: vec![vec![Binding::Read(from), Binding::Write(out)]],
        grid: Grid::Fixed(spread(fours.div_ceil(64) as usize)),
        weight_bytes: 0,
    }
}
