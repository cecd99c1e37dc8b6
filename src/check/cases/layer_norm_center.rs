//! Rows without their mean.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::measure;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::expect::expect_cancelled;
use super::fixtures::SHAPES;

/// Some rows, each without its mean.
#[derive(Clone, Copy, Debug)]
pub struct LayerNormCenter {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for LayerNormCenter {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let out = device.output(rows, columns)?;
        if device.run(&ops::LayerNormCenter { x, out }, 0)? {
            let centered = twin::layer_norm_center(&to_f64(&values), columns);
            if centered.iter().all(|x| *x == 0.0) {
                // Equal values cancel. The kernel subtracts the first of them, so that everything
                // it sums is zero; what is left is the rounding of two subtractions.
                let largest = measure::largest(to_f64(&values).into_iter().map(f64::abs));
                expect_cancelled(device, &out, centered, 2.0, largest)?;
            } else {
                device.expect(&out, centered)?;
            }
        }
        Ok(())
    }
}

impl Tables for LayerNormCenter {
    fn variants() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
