//! The gradient of the input of a linear layer.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::format::Format;
use crate::ops::{self, Weight};
use crate::reference::LinearSize;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::gradients::partial_gradient;

/// ∂x of a linear layer, into rows of a larger matrix: replacing what is there, and added to it.
#[derive(Clone, Copy, Debug)]
pub struct LinearBackwardX {
    /// How the weights are stored.
    pub format: Format,
    /// Rows.
    pub rows: usize,
    /// Outputs and inputs.
    pub shape: [usize; 2],
    /// The most rows in a part of the weights; one part if `None`.
    pub part: Option<usize>,
}

impl Case for LinearBackwardX {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, rows, shape: [outputs, inputs], part } = self;
        let row_bytes = Weight::plane_bytes(format, inputs)[0] as u64;
        let limit = part.map_or(u64::MAX, |rows| rows as u64 * row_bytes);
        let weights = device.noise(outputs * inputs);
        let (weight, weights) = device.weight(format, [outputs, inputs], limit, &weights)?;
        let values = device.noise(rows * outputs);
        let dy = device.tensor(rows, outputs, &values)?;
        let first = 2;
        for add in [false, true] {
            let (out, before) = partial_gradient(device, rows + 3, inputs)?;
            if device
                .run(&ops::backward::LinearBackwardX { dy, weight: &weight, out, first, add }, 0)?
            {
                let size = LinearSize { inputs, outputs };
                let dx = twin::linear_backward_x(&to_f64(&values), &weights, size);
                let mut all = before;
                let own = &mut all[first * inputs..][..rows * inputs];
                assert_eq!(own.len(), dx.len(), "rows of dx");
                for (value, dx) in own.iter_mut().zip(&dx) {
                    *value = if add { *value + dx } else { *dx };
                }
                device.expect(&out, all)?;
            }
        }
        Ok(())
    }
}

impl LinearBackwardX {
    fn table() -> Vec<Self> {
        let (full, half) = (Format::F32, Format::F16);
        [
            (full, 1, [1, 1], None),
            (full, 9, [7, 30], None),
            (full, 33, [70, 20], Some(16)),
            (full, 20, [7, 30], None),
            (full, 65, [34, 257], None),
            (full, 700, [70, 130], None),
            (half, 9, [7, 30], None),
            (half, 33, [70, 20], Some(16)),
            (half, 65, [34, 257], None),
        ]
        .map(|(format, rows, shape, part)| Self { format, rows, shape, part })
        .to_vec()
    }
}

impl Tables for LinearBackwardX {
    fn variants() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        Self::table()
    }
}
