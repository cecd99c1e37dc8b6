//! Tokens to vectors.

use crate::check::device::Device;
use crate::error::Result;
use crate::format::Format;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::linear_shapes;

/// Rows of a table: alone, with learned positions, and scaled.
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    /// How the table is stored.
    pub format: Format,
    /// Rows of the table.
    pub vocab: usize,
    /// Values per row.
    pub columns: usize,
    /// The largest binding, in bytes.
    pub max_binding: u64,
}

impl Case for Embed {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, vocab, columns, max_binding } = self;
        let values = device.noise(vocab * columns);
        let ids = [0, 1, vocab as u32 - 1, 7, 8, 1];
        let looked_up = [0, 3, 11, 5, 0, 1];
        let rows: Vec<[u32; 4]> = ids.iter().zip(looked_up).map(|(&id, p)| [id, p, 0, 0]).collect();
        let rows = device.words(&rows)?;
        let learned = device.noise(12 * columns);
        let positions = device.tensor(12, columns, &learned)?;
        let (table, kept) = device.weight(format, [vocab, columns], max_binding, &values)?;
        let tokens = twin::embed(&ids, &kept, columns);
        let mut sum = twin::pos_embed(&looked_up, &learned, columns);
        twin::add(&mut sum, &tokens);
        let scaled = tokens.iter().map(|x| 7.75 * x).collect();
        for (scale, positions, expected) in
            [(None, None, tokens), (None, Some(positions), sum), (Some(7.75), None, scaled)]
        {
            let out = device.output(ids.len(), columns)?;
            if device.run(&ops::Embed { rows, table: &table, scale, positions, out }, 0)? {
                device.expect(&out, expected)?;
            }
        }
        Ok(())
    }
}

impl Tables for Embed {
    fn once() -> Vec<Self> {
        let of = |format: Format| {
            let (vocab, columns) = (37, 3 * format.block().max(4));
            // In one part, and in parts of eight rows.
            [u64::MAX, 8 * 4 * columns as u64].map(|max_binding| Self {
                format,
                vocab,
                columns,
                max_binding,
            })
        };
        Format::ALL.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        let of = |format: Format| {
            let [small, middle, _] = linear_shapes(format);
            [(37, middle[1]), (9, small[1])].map(|(vocab, columns)| Self {
                format,
                vocab,
                columns,
                max_binding: u64::MAX,
            })
        };
        Format::ALL.into_iter().flat_map(of).collect()
    }
}
