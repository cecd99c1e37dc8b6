//! Gain and bias of a norm.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::SHAPES;

/// Some rows times a gain, with a bias and without.
#[derive(Clone, Copy, Debug)]
pub struct GainBias {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for GainBias {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let (gains, biases) = (device.noise(columns), device.noise(columns));
        let gain = device.tensor(1, columns, &gains)?;
        let bias = device.tensor(1, columns, &biases)?;
        let out = device.output(rows, columns)?;
        for bias in [Some(bias), None] {
            if device.run(&ops::GainBias { x, gain, bias, out }, 0)? {
                let bias = bias.map(|_| &biases[..]);
                device.expect(&out, twin::gain_bias(&to_f64(&values), &gains, bias))?;
            }
        }
        Ok(())
    }
}

impl Tables for GainBias {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
