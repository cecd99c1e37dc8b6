//! The derivatives of a linear map y = x Wᵀ + b: by x, by W and by b.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Dispatch, Grid, Program, Recording, Tensor};
use crate::names::Format;
use crate::ops::{Choices, Matmul, Op, Weight, ensure, kernel, spread, word};

/// dx = dy W, for some rows of dx.
#[derive(Clone, Copy, Debug)]
pub struct MatmulBackwardX<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (N, C), f32 or f16.
    pub weight: &'a Weight,
    /// (R, C), of which T rows are written.
    pub out: Tensor,
    /// The first of these rows.
    pub first: usize,
    /// Whether they are added to.
    pub add: bool,
}

/// dW += dyᵀ x.
#[derive(Clone, Copy, Debug)]
pub struct MatmulBackwardW<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (T, C).
    pub x: Tensor,
    /// (N, C), f32.
    pub gradient: &'a Weight,
}

/// db += Σ dy over the rows.
#[derive(Clone, Copy, Debug)]
pub struct BiasBackward {
    /// (T, N).
    pub dy: Tensor,
    /// (1, N).
    pub out: Tensor,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ParamsX {
    words: u32,
    dy_stride: u32,
    dx_stride: u32,
    rows: u32,
    count: u32,
    first: u32,
    row: u32,
    columns: u32,
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

/// A kernel whose invocations make 8 x 8 values straight from storage, and its grid.
fn by_eights(name: &str, [wide, high]: [u32; 2], columns: usize, rows: usize) -> (Program, Grid) {
    let program = Program::new(kernel(name)).constant("WG_N", wide).constant("WG_T", high);
    let groups = |count: usize, size: u32| word(count.div_ceil(8)).div_ceil(size);
    (program, Grid::Fixed([groups(columns, wide), groups(rows, high), 1]))
}

/// Rows and columns of the square that a workgroup makes through its memory.
const SQUARE: usize = 64;

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

/// The shape of a workgroup that sums over rows: four columns an invocation along x, shares of the
/// rows along y. Where lanes are the vector units of a core, nothing waits for anything; elsewhere two
/// neighbours still fetch a whole sector of memory.
pub(super) fn shares(choices: &Choices, rows: usize) -> [u32; 2] {
    match choices.matmul {
        Matmul::Direct { t: 1, .. } => [8, 1],
        _ if rows < 16 => [32, 1],
        _ if rows < 512 => [8, 16],
        _ => [2, 128],
    }
}

/// Fails for a matrix in another format than f32.
pub(super) fn plain(op: &'static str, weight: &Weight) -> Result<()> {
    ensure(weight.format == Format::F32, op, || {
        format!("{} is {}, and only f32 has derivatives", weight.name, weight.format)
    })
}

impl Op for MatmulBackwardX<'_> {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        const OP: &str = "matmul_backward_x";
        let Self { dy, weight, out, first, add } = self;
        ensure(matches!(weight.format, Format::F32 | Format::F16), OP, || {
            format!("{} is {}, not f32 or f16", weight.name, weight.format)
        })?;
        ensure(dy.columns == weight.rows && out.columns == weight.columns, OP, || {
            format!(
                "dy has {} columns, out {}, {} is {} x {}",
                dy.columns, out.columns, weight.name, weight.rows, weight.columns
            )
        })?;
        ensure(first + dy.rows <= out.rows, OP, || {
            format!("rows {first} to {} of {}", first + dy.rows, out.rows)
        })?;
        for (index, piece) in weight.parts.iter().enumerate() {
            let params = ParamsX {
                words: weight.words(),
                dy_stride: word(dy.stride() / 4),
                dx_stride: word(out.stride() / 4),
                rows: word(dy.rows),
                count: word(piece.rows),
                first: word(piece.first),
                row: word(*first),
                columns: word(weight.columns),
            };
            let (program, grid) = match choices.matmul {
                Matmul::Direct { n, t } => by_eights(OP, [n, t], weight.columns, dy.rows),
                Matmul::Tiled | Matmul::TiledHalf => {
                    let columns = weight.columns.div_ceil(SQUARE);
                    let tile = choices.tile(dy.rows, weight.columns);
                    let program = Program::new(kernel("matmul_backward_x_tiled"));
                    let rows = word(dy.rows.div_ceil(8 * tile));
                    let program = program.constant("TILE", tile as f64);
                    (program, Grid::Fixed([word(columns), rows, 1]))
                }
            };
            let add = f64::from(u8::from(*add || index > 0));
            recording.push(Dispatch {
                program: weight.decode(program.constant("ADD", add)),
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![
                    vec![Binding::Read(dy.buffer), Binding::Write(out.buffer)],
                    Weight::bindings(piece),
                ],
                grid,
                weight_bytes: weight.part_bytes(piece),
            });
        }
        Ok(())
    }
}

impl Op for MatmulBackwardW<'_> {
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

impl Op for BiasBackward {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { dy, out } = self;
        ensure((out.rows, out.columns) == (1, dy.columns), "bias_backward", || {
            format!("dy has {} columns, the bias is {} x {}", dy.columns, out.rows, out.columns)
        })?;
        let [wide, high] = shares(choices, dy.rows);
        recording.push(Dispatch {
            program: Program::new(kernel("bias_backward"))
                .constant("WG_N", wide)
                .constant("WG_T", high),
            params: bytemuck::bytes_of(&[
                word(dy.rows),
                word(dy.stride() / 4),
                word(dy.columns),
                0,
            ])
            .to_vec(),
            groups: vec![vec![Binding::Read(dy.buffer), Binding::Write(out.buffer)]],
            grid: Grid::Fixed([word(dy.columns.div_ceil(4)).div_ceil(wide), 1, 1]),
            weight_bytes: 0,
        });
        Ok(())
    }
}
