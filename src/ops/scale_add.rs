//! `scale_add`: an edit that scales, adds or replaces.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording};

use super::columns::Columns;
use super::op::Op;
use super::region::{Change, Operand, Region};
use crate::select::{KernelSelection, kernel};

/// x = scale · x + add, where the edit acts.
#[derive(Clone, Debug)]
pub struct ScaleAdd {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// The whole value: columns of (T, ..), or of (H·T, ..).
    pub x: Columns,
    /// What changes.
    pub region: Region,
    /// With 0 the old value is ignored, whatever it is.
    pub scale: f32,
    /// What is added.
    pub add: Operand,
}

impl Op for ScaleAdd {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        let Self { rows, x, region, scale, add } = self;
        let program = Program::new(kernel("scale_add"));
        let (rows, x, scale) = (*rows, *x, *scale);
        Change { op: "scale_add", program, rows, x, region, operand: add, scale }
            .record(recording, |[heads, columns, rows]| [(heads * columns).div_ceil(64), rows, 1])
    }
}
