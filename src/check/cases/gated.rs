//! Gated activation functions.

use crate::check::device::{Device, to_f64};
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::ops::{self, Columns};
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// Every function of scale · noise + offset as a gate, in a separate tensor and joined with up.
#[derive(Clone, Copy, Debug)]
pub struct Gated {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// The scale of the values.
    pub scale: f32,
    /// What is added: far to the left, 1 + tanh cancels.
    pub offset: f32,
}

impl Case for Gated {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale, offset } = self;
        let noise = device.noise(rows * columns);
        let values: Vec<f32> = noise.iter().map(|x| x * scale + offset).collect();
        let gate = device.tensor(rows, columns, &values)?;
        let ups = device.noise(rows * columns);
        let up = Columns::all(device.tensor(rows, columns, &ups)?);
        // Gate and up alternate, as their joined projection leaves them.
        let both: Vec<f32> = values.iter().zip(&ups).flat_map(|(g, u)| [*g, *u]).collect();
        let of = device.tensor(rows, 2 * columns, &both)?;
        let joined = Columns { of, start: 0, count: columns, step: 2 };
        let pairs = [(Columns::all(gate), up), (joined, Columns { start: 1, ..joined })];
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            for (gate, up) in pairs {
                let out = device.output(rows, columns)?;
                if device.run(&ops::Gated { gate, up, function, out }, 0)? {
                    device.expect(&out, twin::gated(&to_f64(&values), &to_f64(&ups), function))?;
                }
            }
        }
        Ok(())
    }
}

impl Tables for Gated {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| {
            [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-30, 0.0)].map(|(scale, offset)| Self {
                rows,
                columns,
                scale,
                offset,
            })
        };
        // A row without padding, whose last value is not the last of a workgroup.
        SHAPES.into_iter().chain([(3, 24)]).flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let of = |(rows, columns)| Self { rows, columns, scale: 5.0, offset: -5.0 };
        QUICK_SHAPES.map(of).to_vec()
    }
}
