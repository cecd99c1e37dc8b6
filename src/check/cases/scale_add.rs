//! Edits of named values that scale, add and replace.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::region::{EditedValue, SHAPES};

/// Part of a value scaled, with values of every kind of operand added to it.
#[derive(Clone, Copy, Debug)]
pub struct ScaleAdd {
    /// The value, and what changes.
    pub value: EditedValue,
}

impl ScaleAdd {
    /// Every form of a value.
    pub fn table() -> Vec<Self> {
        SHAPES.map(|value| Self { value }).to_vec()
    }
}

impl Case for ScaleAdd {
    fn run(&self, device: &mut Device) -> Result<()> {
        for scale in [0.0, 1.0, -2.5] {
            for operand in self.value.operands() {
                let made = self.value.make(device, operand, |values| values)?;
                let (rows, x, region) = (made.rows, made.x, made.region.clone());
                let op = ops::ScaleAdd { rows, x, region, scale, add: made.operand };
                if device.run(&op, 0)? {
                    let mut expected = to_f64(&made.before);
                    let values = to_f64(&made.values);
                    let added = twin::Operand { shape: operand, values: &values };
                    let rows = EditedValue::ROWS;
                    twin::scale_add(&mut expected, rows, &made.twin, f64::from(scale), added);
                    made.expect(device, &expected)?;
                }
            }
        }
        Ok(())
    }
}

impl Tables for ScaleAdd {
    fn once() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        SHAPES[..2].iter().map(|value| Self { value: *value }).collect()
    }
}
