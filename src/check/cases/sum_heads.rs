//! The sum over heads.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};

/// The sum over all heads, with a bias and without.
#[derive(Clone, Copy, Debug)]
pub struct SumHeads {
    /// Rows.
    pub rows: usize,
    /// Heads.
    pub heads: usize,
    /// The width of the residual stream.
    pub columns: usize,
}

impl Case for SumHeads {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, heads, columns } = self;
        let (results, biases) = (device.noise(rows * heads * columns), device.noise(columns));
        let x = device.tensor(rows, heads * columns, &results)?;
        let out = device.output(rows, columns)?;
        for bias in [None, Some(device.tensor(1, columns, &biases)?)] {
            if device.run(&ops::SumHeads { x, heads, bias, out }, 0)? {
                let bias = bias.map(|_| &biases[..]);
                device.expect(&out, twin::sum_heads(&to_f64(&results), bias, heads, columns))?;
            }
        }
        Ok(())
    }
}

impl Tables for SumHeads {
    fn once() -> Vec<Self> {
        [(1, 1, 1), (3, 8, 77), (2, 12, 769)]
            .map(|(rows, heads, columns)| Self { rows, heads, columns })
            .to_vec()
    }
}
