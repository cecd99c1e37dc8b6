//! The gradient of a bias.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::expect_cancelled;
use super::gradients::{expect_padding, partial_gradient, sum};

/// ∂b of some rows, added to what is there.
#[derive(Clone, Copy, Debug)]
pub struct BiasBackward {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
}

impl Case for BiasBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns } = self;
        let values = device.noise(rows * columns);
        let dy = device.tensor(rows, columns, &values)?;
        let (out, before) = partial_gradient(device, 1, columns)?;
        if device.run(&ops::backward::BiasBackward { dy, out }, 0)? {
            let all = sum(&before, &twin::bias_backward(&to_f64(&values), columns));
            if columns == 1 {
                // One number may cancel against what is there. Each row adds at most 1, with as
                // many roundings as rows are summed, and one more.
                let count = rows as f64;
                expect_cancelled(device, &out, all, count + 1.0, count + 1.0)?;
            } else {
                device.expect(&out, all)?;
            }
            expect_padding(device, &out)?;
        }
        Ok(())
    }
}

impl BiasBackward {
    /// Enough rows for some lanes, and for all, to share them.
    fn table() -> Vec<Self> {
        [(1, 1), (9, 7), (33, 70), (20, 7), (65, 34), (700, 70)]
            .map(|(rows, columns)| Self { rows, columns })
            .to_vec()
    }
}

impl Tables for BiasBackward {
    fn variants() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        Self::table()
    }
}
