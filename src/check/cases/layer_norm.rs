//! Layer norms.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::SHAPES;

/// The layer norm of some rows, with gain and bias and without.
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    /// Rows.
    pub rows: usize,
    /// Values per row.
    pub columns: usize,
    /// What they are.
    pub values: Values,
}

impl Case for LayerNorm {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let values = device.values(values, rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let (gains, biases) = (device.noise(columns), device.noise(columns));
        let (ones, zeros) = (vec![1.0; columns], vec![0.0; columns]);
        let gain = device.tensor(1, columns, &gains)?;
        let bias = device.tensor(1, columns, &biases)?;
        let out = device.output(rows, columns)?;
        for affine in [Some((gain, bias)), None] {
            if device.run(&ops::LayerNorm { x, affine, eps: 1e-5, out }, 0)? {
                let (gain, bias) =
                    if affine.is_some() { (&gains, &biases) } else { (&ones, &zeros) };
                device.expect(&out, twin::layer_norm(&to_f64(&values), gain, bias, 1e-5))?;
            }
        }
        Ok(())
    }
}

impl Tables for LayerNorm {
    fn variants() -> Vec<Self> {
        let of = |(rows, columns)| Values::ALL.map(|values| Self { rows, columns, values });
        SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, columns: 257, values }).to_vec()
    }
}
