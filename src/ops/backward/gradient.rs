//! Gradients of matrices, which are f32 whatever their weights are.

use crate::error::Result;
use crate::format::Format;
use crate::ops::op::check_shape;
use crate::ops::weight::Weight;

/// Fails for a matrix in a format other than f32.
pub(super) fn plain(op: &'static str, weight: &Weight) -> Result<()> {
    check_shape(weight.format == Format::F32, op, || {
        format!("{} is {}, and only f32 has derivatives", weight.name, weight.format)
    })
}
