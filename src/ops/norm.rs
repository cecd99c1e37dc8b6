//! What `layer_norm` and `rms_norm` share: their uniforms, and optional gains.

use crate::error::Result;
use crate::gpu::{Tensor, params};

use super::op::{check_shape, same_shape, to_u32};

params! {
    pub(super) struct Params {
        columns: u32,
        stride: u32,
        eps: f32,
    }
}

impl Params {
    pub(super) fn new(x: &Tensor, eps: f64) -> Self {
        Self { columns: to_u32(x.columns), stride: to_u32(x.stride() / 4), eps: eps as f32 }
    }
}

/// Checks that x, out and the vectors have the same number of columns, and x and out the same
/// number of rows.
pub(super) fn check(op: &'static str, x: &Tensor, vectors: &[Tensor], out: &Tensor) -> Result<()> {
    same_shape(op, x, out)?;
    for vector in vectors {
        check_shape(vector.columns == x.columns, op, || {
            format!("x has {} columns, gain or bias {}", x.columns, vector.columns)
        })?;
    }
    Ok(())
}
