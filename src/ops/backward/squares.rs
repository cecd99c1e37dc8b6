//! The grids of a linear layer's derivatives, whose workgroups compute square tiles of the result.

use crate::gpu::{Grid, Program};
use crate::ops::op::to_u32;
use crate::select::kernel;

/// A kernel whose invocations compute 8 x 8 values straight from storage, and its grid.
pub(super) fn by_eights(
    name: &str,
    [wide, high]: [u32; 2],
    columns: usize,
    rows: usize,
) -> (Program, Grid) {
    let program = Program::new(kernel(name)).constant("WG_N", wide).constant("WG_T", high);
    let groups = |count: usize, size: u32| to_u32(count.div_ceil(8)).div_ceil(size);
    (program, Grid::Fixed([groups(columns, wide), groups(rows, high), 1]))
}

/// Rows and columns of the tile that a workgroup computes through its memory.
pub(super) const SQUARE: usize = 64;
