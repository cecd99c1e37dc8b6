//! The gradient of an embedding table.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::format::Format;
use crate::ops::backward::runs_of;
use crate::ops::{self, Weight};
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::gradients::{expect_weight, sum};

/// The gradient of a table, from rows that hold some ids several times.
#[derive(Clone, Copy, Debug)]
pub struct EmbedBackward {
    /// Rows.
    pub rows: usize,
    /// Ids, and values per id.
    pub shape: [usize; 2],
    /// The most rows in a part of the table; one part if `None`.
    pub part: Option<usize>,
}

impl Case for EmbedBackward {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, shape: [vocab, columns], part } = self;
        let row_bytes = Weight::plane_bytes(Format::F32, columns)[0] as u64;
        let limit = part.map_or(u64::MAX, |rows| rows as u64 * row_bytes);
        let before = device.noise(vocab * columns);
        let (table, _) = device.weight(Format::F32, [vocab, columns], limit, &before)?;
        let ids: Vec<u32> = (0..rows).map(|row| (row * row % vocab) as u32).collect();
        let values = device.noise(rows * columns);
        let dy = device.tensor(rows, columns, &values)?;
        let (runs, order) = runs_of(&ids);
        let (runs, order) = (device.words(&runs)?, device.words(&order)?);
        let scale = 0.5;
        if device.run(&ops::backward::EmbedBackward { runs, order, dy, scale, table: &table }, 0)? {
            let added = twin::embed_backward(&ids, &to_f64(&values), vocab, columns);
            let added: Vec<f64> = added.iter().map(|value| scale * value).collect();
            expect_weight(device, &table, &sum(&to_f64(&before), &added))?;
        }
        Ok(())
    }
}

impl Tables for EmbedBackward {
    fn once() -> Vec<Self> {
        [(1, [1, 1], None), (9, [7, 30], None), (33, [70, 20], Some(16)), (65, [34, 257], None)]
            .map(|(rows, shape, part)| Self { rows, shape, part })
            .to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { rows: 33, shape: [70, 20], part: None }]
    }
}
