//! Norms of heads.

use crate::check::device::{Device, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops::{self, Columns};
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::QUICK_SHAPES;

/// Heads normalized one by one, between columns that stay unchanged.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorm {
    /// Rows.
    pub rows: usize,
    /// Heads with the first gain, heads with the second, and their width.
    pub heads: [usize; 3],
    /// What they hold.
    pub values: Values,
}

impl Case for HeadNorm {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, heads: [queries, keys, width], values } = self;
        let (heads, before, after) = (queries + keys, 3, 2 * width);
        let columns = before + heads * width + after;
        let values = device.values(values, rows * columns);
        let gain = device.noise(2 * width);
        let of = device.tensor(rows, columns, &values)?;
        let gains = device.tensor(2, width, &gain)?;
        let x = Columns::range(of, before, heads * width);
        if device.run(&ops::HeadNorm { x, queries, gains, eps: 1e-6 }, 0)? {
            let mut expected = to_f64(&values);
            let gains = [&gain[..width], &gain[width..]];
            for row in expected.chunks_mut(columns) {
                let own = &mut row[before..before + heads * width];
                own.copy_from_slice(&twin::head_norm(own, [heads, queries], gains, 1e-6));
            }
            device.expect(&of, expected)?;
        }
        Ok(())
    }
}

impl Tables for HeadNorm {
    fn once() -> Vec<Self> {
        let of = |(rows, heads)| Values::ALL.map(|values| Self { rows, heads, values });
        let all = [(1, [1, 1, 7]), (3, [70, 10, 20]), (2, [9, 3, 128])];
        all.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let of = |(rows, width)| Self { rows, heads: [4, 2, width], values: Values::Plain };
        QUICK_SHAPES.map(of).to_vec()
    }
}
