//! The divisors of norms.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::SHAPES;

/// The root of the mean square of some rows.
#[derive(Clone, Copy, Debug)]
pub struct RmsScale {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for RmsScale {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let out = device.output(rows, 1)?;
        if device.run(&ops::RmsScale { x, eps: 1e-6, out }, 0)? {
            device.expect(&out, twin::rms_scale(&to_f64(&values), columns, 1e-6))?;
        }
        Ok(())
    }
}

impl Tables for RmsScale {
    fn variants() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
