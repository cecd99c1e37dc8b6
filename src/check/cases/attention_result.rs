//! What each head writes to the residual stream.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::format::Format;
use crate::ops::{self, Weight};
use crate::reference as twin;

use super::case::{Case, Tables};

/// Each head's product with its columns of the output projection.
#[derive(Clone, Copy, Debug)]
pub struct AttentionResult {
    /// How the output projection is stored.
    pub format: Format,
    /// Rows.
    pub rows: usize,
    /// Heads, their width, and the width of the residual stream.
    pub shape: [usize; 3],
    /// The most rows of the output projection in a part; all if `None`.
    pub part: Option<usize>,
}

impl Case for AttentionResult {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, rows, shape: [heads, width, columns], part } = self;
        let noise = device.noise(columns * heads * width);
        let row = Weight::plane_bytes(format, heads * width)[0];
        let bytes = part.map_or(u64::MAX, |rows| (rows * row) as u64);
        let (weight, kept) = device.weight(format, [columns, heads * width], bytes, &noise)?;
        let values = device.noise(rows * heads * width);
        let z = device.tensor(rows, heads * width, &values)?;
        let out = device.output(rows, heads * columns)?;
        if device.run(&ops::AttentionResult { z, weight: &weight, heads, out }, 0)? {
            device.expect(&out, twin::attention_result(&to_f64(&values), &kept, heads, columns))?;
        }
        Ok(())
    }
}

impl Tables for AttentionResult {
    fn once() -> Vec<Self> {
        // Heads that begin and end within a word of the matrix.
        let (part, shape) = (Some(16), [8, 64, 77]);
        Format::ALL.into_iter().map(|format| Self { format, rows: 3, shape, part }).collect()
    }
}
