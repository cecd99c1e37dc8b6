//! What an op is, and what every op needs: shape checks, counts and grids.

use crate::error::{Error, Result};
use crate::gpu::{Grid, Recording, Tensor};

use crate::select::KernelSelection;

/// Something that can be recorded.
pub trait Op {
    /// Checks the shapes, then appends its dispatches.
    ///
    /// # Errors
    /// [`Error::Shape`], naming the op and both shapes.
    fn record(&self, recording: &mut Recording, selection: &KernelSelection) -> Result<()>;
}

/// Fails with the op's name and `reason` unless `holds`.
pub(super) fn check_shape(
    holds: bool,
    op: &'static str,
    reason: impl FnOnce() -> String,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::Shape { op, reason: reason() }) }
}

/// A count as a kernel takes it. Every count is of rows, columns or words of a bound buffer, whose
/// size in bytes is below 2^32 by the adapter's limits, so this never saturates in a valid
/// recording.
pub(super) fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Spreads `count` workgroups over x and y, so that no axis passes 65,535.
pub(crate) fn grid_1d(count: usize) -> [u32; 3] {
    let count = to_u32(count);
    if count <= 65_535 { [count, 1, 1] } else { [65_535, count.div_ceil(65_535), 1] }
}

/// Fails unless x and out have the same shape.
pub(super) fn same_shape(op: &'static str, x: &Tensor, out: &Tensor) -> Result<()> {
    check_shape((x.rows, x.columns) == (out.rows, out.columns), op, || {
        format!("x is {} x {}, out {} x {}", x.rows, x.columns, out.rows, out.columns)
    })
}

/// A grid with one invocation per vec4 of a row.
pub(super) fn grid_vec4(x: &Tensor) -> Grid {
    Grid::Fixed([to_u32((x.stride() / 4).div_ceil(64)), to_u32(x.rows), 1])
}

/// The number of vec4s in `count` values.
#[cfg(feature = "train")]
pub(super) fn whole_vec4s(op: &'static str, count: usize) -> Result<usize> {
    check_shape(count.is_multiple_of(4), op, || format!("{count} values are not whole vec4s"))?;
    Ok(count / 4)
}
