//! Rows by their divisors.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::SHAPES;

/// Some rows, each by the root of its mean square.
#[derive(Clone, Copy, Debug)]
pub struct DivideRows {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for DivideRows {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let scales = twin::rms_scale(&to_f64(&values), columns, 1e-6);
        let narrow: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
        let scale = device.tensor(rows, 1, &narrow)?;
        let out = device.output(rows, columns)?;
        if device.run(&ops::DivideRows { x, scale, out }, 0)? {
            device.expect(&out, twin::divide_rows(&to_f64(&values), &to_f64(&narrow)))?;
        }
        Ok(())
    }
}

impl Tables for DivideRows {
    fn once() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
