//! Activation functions.

use crate::check::device::{Device, to_f64};
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// Every function of scale · noise + offset.
#[derive(Clone, Copy, Debug)]
pub struct Activate {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// The scale of the values.
    pub scale: f32,
    /// What is added: far to the left, 1 + tanh cancels.
    pub offset: f32,
}

impl Case for Activate {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale, offset } = self;
        let noise = device.noise(rows * columns);
        let values: Vec<f32> = noise.iter().map(|x| x * scale + offset).collect();
        let x = device.tensor(rows, columns, &values)?;
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            let out = device.output(rows, columns)?;
            if device.run(&ops::Activate { x, function, out }, 0)? {
                device.expect(&out, twin::activate(&to_f64(&values), function))?;
            }
        }
        Ok(())
    }
}

impl Tables for Activate {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| {
            [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-30, 0.0)].map(|(scale, offset)| Self {
                rows,
                columns,
                scale,
                offset,
            })
        };
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let of = |(rows, columns)| Self { rows, columns, scale: 5.0, offset: -5.0 };
        QUICK_SHAPES.map(of).to_vec()
    }
}
