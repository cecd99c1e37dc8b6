//! `norm_backward`: the derivatives of both norms by their input.

use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::choices::Choices;
use crate::ops::kernels::kernel;
use crate::ops::op::{Op, ensure, spread, word};

/// dx of y = (x − mean) / √(var + ε) ⊙ gain + bias, row by row.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormBackward {
    /// (T, C).
    pub x: Tensor,
    /// (1, C); ones without.
    pub gain: Option<Tensor>,
    /// (T, C).
    pub dy: Tensor,
    /// ε.
    pub eps: f64,
    /// Whether dx is added to.
    pub add: bool,
    /// (T, C).
    pub dx: Tensor,
    /// Mean and 1 / √(var + ε) of each row, (T, 2), for [`GainBackward`].
    pub stats: Tensor,
}

/// dx of y = x / √(mean(x²) + ε) ⊙ gain, row by row.
#[derive(Clone, Copy, Debug)]
pub struct RmsNormBackward {
    /// (T, C).
    pub x: Tensor,
    /// (1, C); ones without.
    pub gain: Option<Tensor>,
    /// (T, C).
    pub dy: Tensor,
    /// ε.
    pub eps: f64,
    /// Whether dx is added to.
    pub add: bool,
    /// (T, C).
    pub dx: Tensor,
    /// 0 and 1 / √(mean(x²) + ε) of each row, (T, 2), for [`GainBackward`].
    pub stats: Tensor,
}

params! {
    struct Params {
        columns: u32,
        stride: u32,
        stats_stride: u32,
        eps: f32,
    }
}

/// What both norms are given.
struct Norm<'a> {
    op: &'static str,
    x: &'a Tensor,
    gain: Option<&'a Tensor>,
    dy: &'a Tensor,
    eps: f64,
    add: bool,
    dx: &'a Tensor,
    stats: &'a Tensor,
}

impl Norm<'_> {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let &Self { op, x, gain, dy, eps, add, dx, stats } = self;
        let shape = |tensor: &Tensor| (tensor.rows, tensor.columns);
        ensure(shape(x) == shape(dy) && shape(x) == shape(dx), op, || {
            format!("x is {:?}, dy {:?}, dx {:?}", shape(x), shape(dy), shape(dx))
        })?;
        ensure(shape(stats) == (x.rows, 2), op, || {
            format!("the statistics of {} rows are {:?}", x.rows, shape(stats))
        })?;
        ensure(gain.is_none_or(|gain| gain.columns == x.columns), op, || {
            format!("x has {} columns, the gain others", x.columns)
        })?;
        let params = Params {
            columns: word(x.columns),
            stride: word(x.stride() / 4),
            stats_stride: word(stats.stride()),
            eps: eps as f32,
        };
        let reduce = choices.reduce_over(4 * x.stride() / 4);
        let program = reduce
            .apply(Program::new(kernel(op)))
            .constant("GAIN", gain.is_some())
            .constant("ADD", add);
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            // Without a gain its slot holds x, which the kernel then does not take for one.
            .read(0, gain.unwrap_or(x).buffer)
            .read(0, dy.buffer)
            .write(0, dx.buffer)
            .write(0, stats.buffer)
            .grid(spread(x.rows));
        Ok(())
    }
}

impl Op for LayerNormBackward {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, gain, dy, eps, add, dx, stats } = self;
        let (op, gain, eps, add) = ("layer_norm_backward", gain.as_ref(), *eps, *add);
        Norm { op, x, gain, dy, eps, add, dx, stats }.record(recording, choices)
    }
}

impl Op for RmsNormBackward {
    fn record(&self, recording: &mut Recording, choices: &Choices) -> Result<()> {
        let Self { x, gain, dy, eps, add, dx, stats } = self;
        let (op, gain, eps, add) = ("rms_norm_backward", gain.as_ref(), *eps, *add);
        Norm { op, x, gain, dy, eps, add, dx, stats }.record(recording, choices)
    }
}
