//! The gradient of the weights of a linear layer.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::format::Format;
use crate::ops::{self, Weight};
use crate::reference::LinearSize;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::gradients::{expect_weight, sum};

/// ∂W of a linear layer, added to what is there.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardW {
    /// Rows.
    pub rows: usize,
    /// Outputs and inputs.
    pub shape: [usize; 2],
    /// The most rows in a part of the gradient; one part if `None`.
    pub part: Option<usize>,
}

impl Case for LinearBackwardW {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, shape: [outputs, inputs], part } = self;
        let row_bytes = Weight::plane_bytes(Format::F32, inputs)[0] as u64;
        let limit = part.map_or(u64::MAX, |rows| rows as u64 * row_bytes);
        let before = device.noise(outputs * inputs);
        let (gradient, _) = device.weight(Format::F32, [outputs, inputs], limit, &before)?;
        let (x, dy) = (device.noise(rows * inputs), device.noise(rows * outputs));
        let [wide_x, wide_dy] = [&x, &dy].map(|values| to_f64(values));
        let (x, dy) = (device.tensor(rows, inputs, &x)?, device.tensor(rows, outputs, &dy)?);
        if device.run(&ops::backward::LinearBackwardW { dy, x, gradient: &gradient }, 0)? {
            let dw = twin::linear_backward_w(&wide_dy, &wide_x, LinearSize { inputs, outputs });
            expect_weight(device, &gradient, &sum(&to_f64(&before), &dw))?;
        }
        Ok(())
    }
}

impl LinearBackwardW {
    fn table() -> Vec<Self> {
        [
            (1, [1, 1], None),
            (9, [7, 30], None),
            (33, [70, 20], Some(16)),
            (20, [7, 30], None),
            (65, [34, 257], None),
            // So many rows that they are split into shares.
            (700, [70, 130], None),
        ]
        .map(|(rows, shape, part)| Self { rows, shape, part })
        .to_vec()
    }
}

impl Tables for LinearBackwardW {
    fn variants() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        Self::table()
    }
}
