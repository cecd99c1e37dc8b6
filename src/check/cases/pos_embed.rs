//! Learned positions on their own.

use crate::check::device::Device;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::{QUICK_SHAPES, SHAPES};

/// The learned vectors of some positions.
#[derive(Clone, Copy, Debug)]
pub struct PosEmbed {
    /// Positions in the table.
    pub positions: usize,
    /// Values per row.
    pub columns: usize,
}

impl Case for PosEmbed {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { positions, columns } = self;
        let looked_up =
            [0, positions / 3, positions - 1, positions / 2, 0].map(|position| position as u32);
        let rows = device.rows(&looked_up.map(|position| (position, 1)))?;
        let learned = device.noise(positions * columns);
        let table = device.tensor(positions, columns, &learned)?;
        let out = device.output(looked_up.len(), columns)?;
        if device.run(&ops::PosEmbed { rows, positions: table, out }, 0)? {
            device.expect(&out, twin::pos_embed(&looked_up, &learned, columns))?;
        }
        Ok(())
    }
}

impl Tables for PosEmbed {
    fn once() -> Vec<Self> {
        SHAPES.map(|(_, columns)| Self { positions: 12, columns }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        QUICK_SHAPES.map(|(_, columns)| Self { positions: 12, columns }).to_vec()
    }
}
