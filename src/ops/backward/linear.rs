//! The derivatives of a linear map y = x Wᵀ + b: by x, by W and by b.

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::gpu::{Binding, Dispatch, Grid, Program, Recording, Tensor};
use crate::names::Format;
use crate::ops::{Choices, Matmul, Op, Weight, ensure, kernel, word};

/// dx = dy W, for some rows of dx.
#[derive(Clone, Copy, Debug)]
pub struct MatmulBackwardX<'a> {
    /// (T, N).
    pub dy: Tensor,
    /// (N, C), f32.
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
    padding: u32,
}

/// The shape of a workgroup whose invocations make 8 x 8 values each.
fn group(choices: &Choices) -> [u32; 2] {
    match choices.matmul {
        Matmul::Direct { n, t } => [n, t],
        Matmul::Tiled | Matmul::TiledHalf => [8, 8],
    }
}

/// A kernel whose invocations make 8 x 8 values, and its grid.
fn by_eights(name: &str, [wide, high]: [u32; 2], columns: usize, rows: usize) -> (Program, Grid) {
    let program = Program::new(kernel(name)).constant("WG_N", wide).constant("WG_T", high);
    let groups = |count: usize, size: u32| word(count.div_ceil(8)).div_ceil(size);
    (program, Grid::Fixed([groups(columns, wide), groups(rows, high), 1]))
}

/// The shape of a workgroup that sums over rows: four columns an invocation along x, shares of the
/// rows along y. Where lanes are the vector units of a core, nothing waits for anything.
pub(super) fn shares(choices: &Choices, rows: usize) -> [u32; 2] {
    match choices.matmul {
        Matmul::Direct { t: 1, .. } => [8, 1],
        _ if rows < 16 => [32, 1],
        _ => [8, 16],
    }
}

fn plain(op: &'static str, weight: &Weight) -> Result<()> {
    ensure(weight.format == Format::F32, op, || {
        format!("{} is {}, and only f32 has derivatives", weight.name, weight.format)
    })
}

impl Op for MatmulBackwardX<'_> {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        const OP: &str = "matmul_backward_x";
        let Self { dy, weight, out, first, add } = self;
        plain(OP, weight)?;
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
            let (program, grid) = by_eights(OP, group(choices), weight.columns, dy.rows);
            let add = f64::from(u8::from(*add || index > 0));
            recording.push(Dispatch {
                program: program.constant("ADD", add),
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
            let params = ParamsW {
                words: gradient.words(),
                dy_stride: word(dy.stride() / 4),
                x_stride: word(x.stride() / 4),
                rows: word(dy.rows),
                count: word(piece.rows),
                first: word(piece.first),
                columns: word(gradient.columns),
                padding: 0,
            };
            let (program, grid) = by_eights(OP, group(choices), gradient.columns, piece.rows);
            let written = piece.planes.iter().map(|&plane| Binding::Write(plane));
            recording.push(Dispatch {
                program,
                params: bytemuck::bytes_of(&params).to_vec(),
                groups: vec![
                    [Binding::Read(dy.buffer), Binding::Read(x.buffer)]
                        .into_iter()
                        .chain(written)
                        .collect(),
                ],
                grid,
                weight_bytes: gradient.part_bytes(piece),
            });
        }
        Ok(())
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
