//! Selected rows and columns.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops::{self, Columns};
use crate::reference::{self as twin, ColumnRange};

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// All rows and some in another order; all columns, the later half, and every other one.
#[derive(Clone, Copy, Debug)]
pub struct Gather {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
}

impl Case for Gather {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns } = self;
        let values = device.noise(rows * columns);
        let of = device.tensor(rows, columns, &values)?;
        let all: Vec<u32> = (0..rows as u32).collect();
        let some: Vec<u32> = all.iter().rev().chain(&[0]).copied().collect();
        let index = device.words(&some)?;
        for (start, count, step) in
            [(0, columns, 1), (columns / 2, columns - columns / 2, 1), (0, columns.div_ceil(2), 2)]
        {
            let x = Columns { of, start, count, step };
            for (index, from) in [(None, &all), (Some(index), &some)] {
                let out = device.output(from.len(), count)?;
                if device.run(&ops::Gather { x, index, out }, 0)? {
                    let range = ColumnRange { start, count, step };
                    device.expect(&out, twin::gather(&to_f64(&values), columns, from, range))?;
                }
            }
        }
        Ok(())
    }
}

impl Tables for Gather {
    fn once() -> Vec<Self> {
        SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(rows, columns)| Self { rows, columns }).to_vec()
    }
}
