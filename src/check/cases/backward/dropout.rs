//! Dropout, the same forward and backward.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::fixtures::QUICK_SHAPES;
use super::gradients::SMALL_SHAPES;

/// Values dropped at random: the same ones on every device.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// The probability of being dropped.
    pub probability: f64,
}

impl Case for Dropout {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, probability } = self;
        let (seed, site, step) = (0x0123_4567_89ab_cdef_u64, 5, 77);
        // None is zero to begin with, so that zeros show which were dropped.
        let values: Vec<f32> = device.noise(rows * columns).iter().map(|x| x + 2.0).collect();
        let x = device.tensor(rows, columns, &values)?;
        let draw = device.words(&[seed as u32, (seed >> 32) as u32, step, 0])?;
        if device.run(&ops::backward::Dropout { x, probability, draw, site }, 0)? {
            let mut expected = to_f64(&values);
            twin::dropout(&mut expected, probability, seed, site, step);
            device.expect(&x, expected)?;
        }
        Ok(())
    }
}

impl Dropout {
    fn some((rows, columns): (usize, usize)) -> Self {
        Self { rows, columns, probability: 0.3 }
    }
}

impl Tables for Dropout {
    fn once() -> Vec<Self> {
        SMALL_SHAPES.map(Self::some).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(Self::some).to_vec()
    }
}
