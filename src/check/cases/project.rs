//! Edits of named values that take a direction out.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::region::{EditedValue, SHAPES};

/// Directions taken out of part of a value, with every kind of operand.
#[derive(Clone, Copy, Debug)]
pub struct Project {
    /// The value, and what changes.
    pub value: EditedValue,
}

impl Project {
    /// Every form of a value.
    pub fn table() -> Vec<Self> {
        SHAPES.map(|value| Self { value }).to_vec()
    }
}

impl Case for Project {
    fn run(&self, device: &mut Device) -> Result<()> {
        for operand in self.value.operands() {
            let [.., width] = operand;
            let unit = |mut values: Vec<f32>| {
                for row in values.chunks_mut(width) {
                    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
                    row.iter_mut().for_each(|x| *x /= norm);
                }
                values
            };
            let made = self.value.make(device, operand, unit)?;
            let (rows, x, region) = (made.rows, made.x, made.region.clone());
            if device.run(&ops::Project { rows, x, region, direction: made.operand }, 0)? {
                let mut expected = to_f64(&made.before);
                let values = to_f64(&made.values);
                let direction = twin::Operand { shape: operand, values: &values };
                twin::project(&mut expected, EditedValue::ROWS, &made.twin, direction);
                made.expect(device, &expected)?;
            }
        }
        Ok(())
    }
}

impl Tables for Project {
    fn variants() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        SHAPES[..2].iter().map(|value| Self { value: *value }).collect()
    }
}
