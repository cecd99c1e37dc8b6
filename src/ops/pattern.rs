//! What the unfused steps of attention share. A pattern is (H·T, S): rows grouped by head, and for
//! each row the keys so far.

use crate::error::Result;
use crate::gpu::Tensor;

use super::cache::Cache;
use super::op::check_shape;

/// The score of a key that a row does not see: finite, since WGSL promises no infinity.
pub const MASKED: f32 = -1e30;

/// Checks that a pattern has a row for each head of each row of `of`, and no more keys than the
/// cache has positions; returns the number of heads.
pub(super) fn heads_of(
    op: &'static str,
    of: &Tensor,
    cache: &Cache,
    pattern: &Tensor,
) -> Result<usize> {
    check_shape(of.columns.is_multiple_of(cache.heads * cache.width), op, || {
        format!("{} columns for {} key heads of {}", of.columns, cache.heads, cache.width)
    })?;
    let heads = of.columns / cache.width;
    let fits = pattern.rows == heads * of.rows && pattern.columns <= cache.context;
    check_shape(fits, op, || {
        format!(
            "a pattern of {} x {} for {heads} heads, {} rows and {} positions",
            pattern.rows, pattern.columns, of.rows, cache.context
        )
    })?;
    Ok(heads)
}
