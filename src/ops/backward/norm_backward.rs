//! `norm_backward`: the derivatives of both norms with respect to their input.

use crate::config::Norm;
use crate::error::Result;
use crate::gpu::{Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, grid_1d, to_u32};
use crate::select::{KernelSelection, kernel};

/// dx of y = (x − m) / s ⊙ gain + bias, row by row: of a layer norm, with the mean m and
/// s = √(var + ε), or of an RMS norm, with m = 0 and s = √(mean(x²) + ε).
#[derive(Clone, Copy, Debug)]
pub struct NormBackward {
    /// Which norm.
    pub norm: Norm,
    /// (T, C).
    pub x: Tensor,
    /// (1, C); ones if `None`.
    pub gain: Option<Tensor>,
    /// (T, C).
    pub dy: Tensor,
    /// ε.
    pub eps: f64,
    /// Whether dx is added to.
    pub add: bool,
    /// (T, C).
    pub dx: Tensor,
    /// m and 1 / s of each row, (T, 2), for [`GainBackward`](super::GainBackward).
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

impl Op for NormBackward {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        const OP: &str = "norm_backward";
        let Self { norm, x, gain, dy, eps, add, dx, stats } = self;
        let shape = |tensor: &Tensor| (tensor.rows, tensor.columns);
        check_shape(shape(x) == shape(dy) && shape(x) == shape(dx), OP, || {
            format!("x is {:?}, dy {:?}, dx {:?}", shape(x), shape(dy), shape(dx))
        })?;
        check_shape(shape(stats) == (x.rows, 2), OP, || {
            format!("the statistics of {} rows are {:?}", x.rows, shape(stats))
        })?;
        check_shape(gain.is_none_or(|gain| gain.columns == x.columns), OP, || {
            format!("x has {} columns, the gain has others", x.columns)
        })?;
        let params = Params {
            columns: to_u32(x.columns),
            stride: to_u32(x.stride() / 4),
            stats_stride: to_u32(stats.stride()),
            eps: *eps as f32,
        };
        let program = selection
            .reduce_over(4 * x.stride() / 4)
            .apply(Program::new(kernel(OP)))
            .constant("CENTERED", *norm == Norm::LayerNorm)
            .constant("GAIN", gain.is_some())
            .constant("ADD", *add);
        recording
            .dispatch(program, &params)
            .read(0, x.buffer)
            // Without a gain its slot holds x, which the kernel then ignores.
            .read(0, gain.unwrap_or(*x).buffer)
            .read(0, dy.buffer)
            .write(0, dx.buffer)
            .write(0, stats.buffer)
            .grid(grid_1d(x.rows));
        Ok(())
    }
}
