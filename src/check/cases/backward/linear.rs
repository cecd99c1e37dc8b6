//! The derivatives of linear maps.

use crate::check::Device;
use crate::check::device::wide;
use crate::error::Result;
use crate::names::Format;
use crate::ops::Weight;
use crate::ops::backward::{BiasBackward, LinearBackwardW, LinearBackwardX};
use crate::reference::MatmulSize;
use crate::reference::backward as twin;

use super::super::Case;
use super::{begun, expect_padding, expect_weight, sum};

/// What comes back through a linear map: to its input, its weights and its bias.
#[derive(Clone, Copy, Debug)]
pub struct ProductBack {
    /// How the weights are stored.
    pub format: Format,
    /// Rows.
    pub rows: usize,
    /// Outputs and inputs.
    pub shape: [usize; 2],
    /// The most rows of a part of the weights; all in one without.
    pub part: Option<usize>,
}

impl Case for ProductBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, rows, shape: [outputs, inputs], part } = self;
        let limit = |format: Format| {
            let row_bytes = Weight::plane_bytes(format, inputs)[0] as u64;
            part.map_or(u64::MAX, |rows| rows as u64 * row_bytes)
        };
        let weights = device.noise(outputs * inputs);
        let (weight, weights) =
            device.weight(format, [outputs, inputs], limit(format), &weights)?;
        let (x, dy) = (device.noise(rows * inputs), device.noise(rows * outputs));
        let size = MatmulSize { inputs, outputs };
        let expected = twin::matmul_backward(&wide(&x), &weights, &wide(&dy), size);
        let (x, dy) = (device.tensor(rows, inputs, &x)?, device.tensor(rows, outputs, &dy)?);

        // Into rows of a larger matrix, over what is there and added to it.
        let first = 2;
        for add in [false, true] {
            let (out, before) = begun(device, rows + 3, inputs)?;
            if device.run(&LinearBackwardX { dy, weight: &weight, out, first, add }, 0)? {
                let mut all = before;
                let own = &mut all[first * inputs..][..rows * inputs];
                for (value, dx) in own.iter_mut().zip(&expected.x) {
                    *value = if add { *value + dx } else { *dx };
                }
                device.expect(&out, all)?;
            }
        }
        let before = device.noise(outputs * inputs);
        let limit = limit(Format::F32);
        let (gradient, _) = device.weight(Format::F32, [outputs, inputs], limit, &before)?;
        if device.run(&LinearBackwardW { dy, x, gradient: &gradient }, 0)? {
            expect_weight(device, &gradient, &sum(&wide(&before), &expected.weight))?;
        }
        let (out, before) = begun(device, 1, outputs)?;
        if device.run(&BiasBackward { dy, out }, 0)? {
            device.expect(&out, sum(&before, &expected.bias))?;
            expect_padding(device, &out)?;
        }
        Ok(())
    }
}
