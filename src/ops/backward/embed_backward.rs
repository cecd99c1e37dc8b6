//! `embed_backward`: the gradient of a lookup table: of the embedding, and of learned positions.

use crate::error::Result;
use crate::gpu::{Binding, BufferId, Program, Recording, Tensor, params};
use crate::ops::op::{Op, check_shape, to_u32};
use crate::ops::weight::Weight;
use crate::select::{KernelSelection, kernel};

use super::gradient::plain;

/// `dE_id` += scale · Σ dy over the rows that hold the id.
#[derive(Clone, Copy, Debug)]
pub struct EmbedBackward<'a> {
    /// (T): the first result of [`runs_of`].
    pub runs: BufferId,
    /// (T): its second result.
    pub order: BufferId,
    /// (T, C).
    pub dy: Tensor,
    /// The factor of the vectors.
    pub scale: f64,
    /// (V, C), f32.
    pub table: &'a Weight,
}

params! {
    struct Params {
        words: u32,
        stride: u32,
        first: u32,
        count: u32,
        columns: u32,
        scale: f32,
    }
}

/// Rows in the order of their ids: for each id (id, first, end, 0), padded with empty runs to the
/// number of rows; and the row indices that `first` and `end` range over.
pub fn runs_of(ids: &[u32]) -> (Vec<[u32; 4]>, Vec<u32>) {
    let mut order: Vec<u32> = (0..to_u32(ids.len())).collect();
    order.sort_by_key(|row| ids[*row as usize]);
    let mut runs: Vec<[u32; 4]> = Vec::with_capacity(ids.len());
    for (row, place) in order.iter().zip(0..) {
        let id = ids[*row as usize];
        match runs.last_mut() {
            Some([last, _, end, _]) if *last == id => *end = place + 1,
            _ => runs.push([id, place, place + 1, 0]),
        }
    }
    runs.resize(ids.len(), [0; 4]);
    (runs, order)
}

impl Op for EmbedBackward<'_> {
    fn record(&self, recording: &mut Recording, _: &KernelSelection) -> Result<()> {
        const OP: &str = "embed_backward";
        let Self { runs, order, dy, scale, table } = self;
        plain(OP, table)?;
        check_shape(dy.columns == table.columns, OP, || {
            format!("dy has {} columns, {} has {}", dy.columns, table.name, table.columns)
        })?;
        for piece in &table.shards {
            let params = Params {
                words: table.words(),
                stride: to_u32(dy.stride() / 4),
                first: to_u32(piece.first),
                count: to_u32(piece.rows),
                columns: to_u32(dy.columns),
                scale: *scale as f32,
            };
            recording
                .dispatch(Program::new(kernel(OP)), &params)
                .read(0, *runs)
                .read(0, *order)
                .read(0, dy.buffer)
                .bind(0, piece.planes.iter().map(|&plane| Binding::Write(plane)))
                .grid([to_u32(dy.columns.div_ceil(4 * 64)), to_u32(dy.rows), 1]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_by_their_ids() {
        let (runs, order) = runs_of(&[7, 3, 7, 0, 3, 7]);
        assert_eq!(runs[..3], [[0, 0, 1, 0], [3, 1, 3, 0], [7, 3, 6, 0]]);
        assert_eq!(runs[3..], [[0; 4]; 3]);
        assert_eq!(order, [3, 1, 4, 0, 2, 5]);
        assert_eq!(runs_of(&[]), (Vec::new(), Vec::new()));
    }
}
