//! The residual stream and what is added to it.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// Rows added to rows.
#[derive(Clone, Copy, Debug)]
pub struct Add {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
}

impl Case for Add {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns } = self;
        let (values, before) = (device.noise(rows * columns), device.noise(rows * columns));
        let x = device.tensor(rows, columns, &values)?;
        let out = device.tensor(rows, columns, &before)?;
        if device.run(&ops::Add { x, out }, 0)? {
            let mut expected = to_f64(&before);
            twin::add(&mut expected, &to_f64(&values));
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}

impl Tables for Add {
    fn once() -> Vec<Self> {
        SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }
}
