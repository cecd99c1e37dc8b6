//! Edits of named values.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops::{self, Columns};
use crate::reference::{self as twin, ColumnRange};

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// The later rows, from some column on: scaled, with one row added to all, or a row added to each.
#[derive(Clone, Copy, Debug)]
pub struct ScaleAdd {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
}

impl Case for ScaleAdd {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows: all, columns } = self;
        let before = device.noise(all * columns);
        let (rows, start) = (all / 2..all, columns / 3);
        for (step, scale) in [1, 2].into_iter().flat_map(|step| [0.0, 1.0, -2.5].map(|s| (step, s)))
        {
            for added in [1, rows.len()] {
                let count = (columns - start).div_ceil(step);
                let values = device.noise(added * count);
                let of = device.tensor(all, columns, &before)?;
                let x = Columns { of, start, count, step };
                let add = device.tensor(added, count, &values)?;
                if device.run(&ops::ScaleAdd { x, rows: rows.clone(), scale, add }, 0)? {
                    let mut expected = to_f64(&before);
                    let range = ColumnRange { start, count, step };
                    let (scale, values) = (f64::from(scale), to_f64(&values));
                    twin::scale_add(&mut expected, columns, rows.clone(), range, scale, &values);
                    device.expect(&of, expected)?;
                }
            }
        }
        Ok(())
    }
}

impl Tables for ScaleAdd {
    fn once() -> Vec<Self> {
        SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }
}
