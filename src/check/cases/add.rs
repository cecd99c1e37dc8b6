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
    /// Whether the sum is written a second time.
    pub twice: bool,
}

impl Add {
    fn both((rows, columns): (usize, usize)) -> [Self; 2] {
        [false, true].map(|twice| Self { rows, columns, twice })
    }
}

impl Case for Add {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, twice } = self;
        let (values, before) = (device.noise(rows * columns), device.noise(rows * columns));
        let x = device.tensor(rows, columns, &values)?;
        let out = device.tensor(rows, columns, &before)?;
        let kept = if twice { Some(device.output(rows, columns)?) } else { None };
        if device.run(&ops::Add { x, out, kept }, 0)? {
            let mut expected = to_f64(&before);
            twin::add(&mut expected, &to_f64(&values));
            if let Some(kept) = kept {
                device.expect(&kept, expected.clone())?;
            }
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}

impl Tables for Add {
    fn once() -> Vec<Self> {
        SHAPES.into_iter().flat_map(Self::both).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.into_iter().flat_map(Self::both).collect()
    }
}
