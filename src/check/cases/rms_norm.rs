//! RMS norms.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::SHAPES;

/// The RMS norm of some rows, with a gain and without.
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for RmsNorm {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let (gains, ones) = (device.noise(columns), vec![1.0; columns]);
        let gain = device.tensor(1, columns, &gains)?;
        let out = device.output(rows, columns)?;
        for gain in [Some(gain), None] {
            if device.run(&ops::RmsNorm { x, gain, eps: 1e-6, out }, 0)? {
                let gain = if gain.is_some() { &gains } else { &ones };
                device.expect(&out, twin::rms_norm(&to_f64(&values), gain, 1e-6))?;
            }
        }
        Ok(())
    }
}

impl Tables for RmsNorm {
    fn variants() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
