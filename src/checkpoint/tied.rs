//! Heads that are said to be the embedding.

use super::matrix::Matrix;
use crate::error::Result;

/// Bytes that are compared at once.
const PIECE: usize = 1 << 20;

/// Whether two matrices of the same shape hold the same values. Both are read up to the first
/// difference.
pub(super) fn equal(a: &Matrix, b: &Matrix) -> Result<bool> {
    let rows = (PIECE / a.row_bytes().max(b.row_bytes()).max(1)).max(1);
    for start in (0..a.rows).step_by(rows) {
        let piece = start..(start + rows).min(a.rows);
        let same = if a.format == b.format {
            a.read(piece.clone())? == b.read(piece)?
        } else {
            a.values(piece.clone())? == b.values(piece)?
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
