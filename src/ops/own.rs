//! An op of a caller's own at a hook's value.

use crate::error::Result;
use crate::gpu::{BufferId, Kernel, Program, Recording};

use super::columns::Columns;
use super::op::Op;
use super::region::{Change, Operand, Region};
use crate::select::KernelSelection;

/// A kernel of a caller's own, bound as those of edits are, with the part `region`.
#[derive(Clone, Debug)]
pub struct Own {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// Values of its `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// What a workgroup works on.
    pub each: Each,
    /// (T): token, position, sequence and step of each row.
    pub rows: BufferId,
    /// The whole value: columns of (T, ..), or of (H·T, ..).
    pub x: Columns,
    /// What changes.
    pub region: Region,
    /// What the kernel reads besides.
    pub operand: Operand,
}

/// What a workgroup of an op of a caller's own works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// 64 numbers of a row, an invocation for each: grid (H W / 64, T), or (W / 64, H T) for scores and
    /// patterns. `@workgroup_size(64)`.
    Value,
    /// The numbers of a head in a row: grid (H, T), or (1, H T). `@workgroup_size(WG)`, and the part
    /// `reduce` is there.
    Head,
}

impl Op for Own {
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()> {
        let Self { kernel, constants, each, rows, x, region, operand } = self;
        let mut program = Program::foreign(kernel);
        if *each == Each::Head {
            program = selection.reduce.apply(program);
        }
        program.constants.extend_from_slice(constants);
        let (op, rows, x, scale) = (kernel.name, *rows, *x, 1.0);
        let grid = match each {
            Each::Value => {
                |[heads, columns, rows]: [u32; 3]| [(heads * columns).div_ceil(64), rows, 1]
            }
            Each::Head => |[heads, _, rows]: [u32; 3]| [heads, rows, 1],
        };
        Change { op, program, rows, x, region, operand, scale }.record(recording, grid)
    }
}
