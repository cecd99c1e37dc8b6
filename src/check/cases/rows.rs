//! Movers of rows, embeddings, and activations on their own.

use crate::check::Device;
use crate::check::device::wide;
use crate::error::Result;
use crate::names::Format;
use crate::ops::{Add, Columns, Embed, Gather, Gelu, PosEmbed, ScaleAdd, SwiGlu};
use crate::reference as twin;

use super::Case;

/// Tokens and positions to vectors.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// How the table is stored.
    pub format: Format,
    /// Rows of the table.
    pub vocab: usize,
    /// Values of a row.
    pub columns: usize,
    /// The largest binding, in bytes.
    pub max_binding: u64,
}

impl Case for Tokens {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, vocab, columns, max_binding } = self;
        let values = device.noise(vocab * columns);
        let ids = [0, 1, vocab as u32 - 1, 7, 8, 1];
        let places = [0, 3, 11, 5, 0, 1];
        let rows: Vec<[u32; 4]> = ids.iter().zip(places).map(|(&id, p)| [id, p, 0, 0]).collect();
        let rows = device.words(&rows)?;
        let learned = device.noise(12 * columns);
        let positions = device.tensor(12, columns, &learned)?;
        let (table, kept) = device.weight(format, [vocab, columns], max_binding, &values)?;
        let tokens = twin::embed(&ids, &kept, columns);
        let placed = twin::embed(&places, &learned, columns);
        let sum: Vec<f64> = tokens.iter().zip(&placed).map(|(a, b)| a + b).collect();
        for (positions, expected) in [(None, tokens), (Some(positions), sum)] {
            let out = device.output(ids.len(), columns)?;
            if device.run(&Embed { rows, table: &table, positions, out }, 0)? {
                device.expect(&out, expected)?;
            }
        }
        let out = device.output(ids.len(), columns)?;
        if device.run(&PosEmbed { rows, positions, out }, 0)? {
            device.expect(&out, placed)?;
        }
        Ok(())
    }
}

/// Rows gathered, added and edited.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
}

impl Case for Move {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns } = self;
        let values = device.noise(rows * columns);
        let x = device.tensor(rows, columns, &values)?;
        let picked = |index: &[u32], start: usize, count: usize, step: usize| -> Vec<f64> {
            let row = |&i: &u32| wide(&values[i as usize * columns..][..columns]);
            let some = |i| row(i).into_iter().skip(start).step_by(step).take(count);
            index.iter().flat_map(some).collect()
        };
        let all: Vec<u32> = (0..rows as u32).collect();
        let some: Vec<u32> = all.iter().rev().chain(&[0]).copied().collect();
        let index = device.words(&some)?;
        let half = columns.div_ceil(2);
        for (start, count, step) in
            [(0, columns, 1), (columns / 2, columns - columns / 2, 1), (0, half, 2)]
        {
            let x = Columns { of: x, start, count, step };
            for (index, from) in [(None, &all), (Some(index), &some)] {
                let out = device.output(from.len(), count)?;
                if device.run(&Gather { x, index, out }, 0)? {
                    device.expect(&out, picked(from, start, count, step))?;
                }
            }
        }
        let before = device.noise(rows * columns);
        let out = device.tensor(rows, columns, &before)?;
        if device.run(&Add { x, out }, 0)? {
            let sum = wide(&before).iter().zip(wide(&values)).map(|(a, b)| a + b).collect();
            device.expect(&out, sum)?;
        }
        // The later rows, every other column: scaled, and a row added to each.
        let added = device.noise(half);
        let out = device.tensor(rows, columns, &before)?;
        let add = device.tensor(1, half, &added)?;
        let part = Columns { of: out, start: 0, count: half, step: 2 };
        let first = rows / 2;
        if device.run(&ScaleAdd { x: part, rows: first..rows, scale: -0.5, add }, 0)? {
            let mut expected = wide(&before);
            for row in expected.chunks_mut(columns).skip(first) {
                for (value, add) in row.iter_mut().step_by(2).zip(&added) {
                    *value = -0.5 * *value + f64::from(*add);
                }
            }
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}

/// GELU and SwiGLU of scale · noise + offset.
#[derive(Clone, Copy, Debug)]
pub struct Activate {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// The size of the values.
    pub scale: f32,
    /// What is added: far to the left, 1 + tanh cancels.
    pub offset: f32,
}

impl Case for Activate {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale, offset } = self;
        let noise = device.noise(rows * columns);
        let values: Vec<f32> = noise.iter().map(|x| x * scale + offset).collect();
        let x = device.tensor(rows, columns, &values)?;
        let out = device.output(rows, columns)?;
        if device.run(&Gelu { x, out }, 0)? {
            device.expect(&out, twin::gelu(&wide(&values)))?;
        }
        let ups = device.noise(rows * columns);
        let up = Columns::all(device.tensor(rows, columns, &ups)?);
        let expected = twin::swiglu(&wide(&values), &wide(&ups));
        if device.run(&SwiGlu { gate: Columns::all(x), up, out }, 0)? {
            device.expect(&out, expected.clone())?;
        }
        // Gate and up in turn, as their joined map leaves them.
        let both: Vec<f32> = values.iter().zip(&ups).flat_map(|(g, u)| [*g, *u]).collect();
        let of = device.tensor(rows, 2 * columns, &both)?;
        let gate = Columns { of, start: 0, count: columns, step: 2 };
        let out = device.output(rows, columns)?;
        if device.run(&SwiGlu { gate, up: Columns { start: 1, ..gate }, out }, 0)? {
            device.expect(&out, expected)?;
        }
        Ok(())
    }
}
