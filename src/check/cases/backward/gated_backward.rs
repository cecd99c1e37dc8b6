//! Gradients of gate and up.

use crate::check::device::{Device, to_f64};
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::fixtures::QUICK_SHAPES;
use super::gradients::SMALL_SHAPES;

/// Gradients through every gated activation function.
#[derive(Clone, Copy, Debug)]
pub struct GatedBackward {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// Arguments are scale · (−1..1).
    pub scale: f32,
}

impl Case for GatedBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale } = self;
        let gates: Vec<f32> = device.noise(rows * columns).iter().map(|x| scale * x).collect();
        let (ups, back) = (device.noise(rows * columns), device.noise(rows * columns));
        let both: Vec<f32> = gates.iter().zip(&ups).flat_map(|(gate, up)| [*gate, *up]).collect();
        let both = device.tensor(rows, 2 * columns, &both)?;
        let dy = device.tensor(rows, columns, &back)?;
        let out = device.output(rows, 2 * columns)?;
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            if device.run(&ops::backward::GatedBackward { both, dy, function, out }, 0)? {
                let (gate, up) =
                    twin::gated_backward(&to_f64(&gates), &to_f64(&ups), &to_f64(&back), function);
                let all = gate.iter().zip(&up).flat_map(|(gate, up)| [*gate, *up]).collect();
                device.expect(&out, all)?;
            }
        }
        Ok(())
    }
}

impl Tables for GatedBackward {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| [5.0, 1e4, 1e-30].map(|scale| Self { rows, columns, scale });
        SMALL_SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(rows, columns)| Self { rows, columns, scale: 5.0 }).to_vec()
    }
}
