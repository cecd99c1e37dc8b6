//! `project`: an edit that takes a direction out.

use crate::error::Result;
use crate::gpu::{BufferId, Program, Recording};

use super::columns::Columns;
use super::op::Op;
use super::region::{Change, Operand, Region};
use crate::select::{KernelSelection, kernel};

/// x = x − (x · d) d within each head, where the edit acts.
#[derive(Clone, Debug)]
pub struct Project {
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// The whole value: columns of (T, ..), or of (H·T, ..).
    pub x: Columns,
    /// What changes.
    pub region: Region,
    /// d, of norm 1 over the columns of each head.
    pub direction: Operand,
}

impl Op for Project {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { rows, x, region, direction } = self;
        let program = selection.reduce.apply(Program::new(kernel("project")));
        let (rows, x, scale) = (*rows, *x, 1.0);
        Change { op: "project", program, rows, x, region, operand: direction, scale }
            .record(recording, |[heads, _, rows]| [heads, rows, 1])
    }
}
