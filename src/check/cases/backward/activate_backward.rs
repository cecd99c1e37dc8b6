//! Gradients through activation functions.

use crate::check::device::{Device, to_f64};
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::fixtures::QUICK_SHAPES;
use super::gradients::SMALL_SHAPES;

/// Gradients through every activation function alone.
#[derive(Clone, Copy, Debug)]
pub struct ActivateBackward {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// Arguments are scale · (−1..1).
    pub scale: f32,
}

impl Case for ActivateBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale } = self;
        let values: Vec<f32> = device.noise(rows * columns).iter().map(|x| scale * x).collect();
        let back = device.noise(rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let dy = device.tensor(rows, columns, &back)?;
        let out = device.output(rows, columns)?;
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            if device.run(&ops::backward::ActivateBackward { x, dy, function, out }, 0)? {
                let dx = twin::activate_backward(&to_f64(&values), &to_f64(&back), function);
                device.expect(&out, dx)?;
            }
        }
        Ok(())
    }
}

impl Tables for ActivateBackward {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| [5.0, 1e4, 1e-30].map(|scale| Self { rows, columns, scale });
        SMALL_SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(rows, columns)| Self { rows, columns, scale: 5.0 }).to_vec()
    }
}
