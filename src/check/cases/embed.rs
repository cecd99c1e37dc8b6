//! Movers of rows, embeddings, and activations on their own.

use crate::check::Device;
use crate::check::device::wide;
use crate::config::Nonlinearity;
use crate::error::Result;
use crate::names::Format;
use crate::ops::{Activate, Add, Columns, Embed, Gated, Gather, PosEmbed, ScaleAdd};
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
        let scaled = tokens.iter().map(|x| 7.75 * x).collect();
        for (scale, positions, expected) in
            [(None, None, tokens), (None, Some(positions), sum), (Some(7.75), None, scaled)]
        {
            let out = device.output(ids.len(), columns)?;
            if device.run(&Embed { rows, table: &table, scale, positions, out }, 0)? {
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
        // The later rows, from some column on: scaled, and one row added to each, or each its own.
        let first = rows / 2;
        let kinds = [1, 2].into_iter().flat_map(|step| [(step, true), (step, false)]);
        let kinds = kinds.flat_map(|kind| [0.0, 1.0, -2.5].map(|scale| (kind, scale)));
        for ((step, one), scale) in kinds {
            let start = columns / 3;
            let count = (columns - start).div_ceil(step);
            let added = if one { 1 } else { rows - first };
            let add = device.noise(added * count);
            let out = device.tensor(rows, columns, &before)?;
            let part = Columns { of: out, start, count, step };
            let tensor = device.tensor(added, count, &add)?;
            if device.run(&ScaleAdd { x: part, rows: first..rows, scale, add: tensor }, 0)? {
                let mut expected = wide(&before);
                for (row, values) in expected.chunks_mut(columns).skip(first).enumerate() {
                    let add = &add[if one { 0 } else { row * count }..][..count];
                    for (value, add) in values[start..].iter_mut().step_by(step).zip(add) {
                        *value = f64::from(scale) * *value + f64::from(*add);
                    }
                }
                device.expect(&out, expected)?;
            }
        }
        Ok(())
    }
}

/// Every function of scale · noise + offset, alone and as a gate.
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// The size of the values.
    pub scale: f32,
    /// What is added: far to the left, 1 + tanh cancels.
    pub offset: f32,
}

impl Case for Functions {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale, offset } = self;
        let noise = device.noise(rows * columns);
        let values: Vec<f32> = noise.iter().map(|x| x * scale + offset).collect();
        let x = device.tensor(rows, columns, &values)?;
        let ups = device.noise(rows * columns);
        let up = Columns::all(device.tensor(rows, columns, &ups)?);
        // Gate and up in turn, as their joined map leaves them.
        let both: Vec<f32> = values.iter().zip(&ups).flat_map(|(g, u)| [*g, *u]).collect();
        let of = device.tensor(rows, 2 * columns, &both)?;
        let joined = Columns { of, start: 0, count: columns, step: 2 };
        let pairs = [(Columns::all(x), up), (joined, Columns { start: 1, ..joined })];
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            let out = device.output(rows, columns)?;
            if device.run(&Activate { x, function, out }, 0)? {
                device.expect(&out, twin::activate(&wide(&values), function))?;
            }
            for (gate, up) in pairs {
                let out = device.output(rows, columns)?;
                if device.run(&Gated { gate, up, function, out }, 0)? {
                    device.expect(&out, twin::gated(&wide(&values), &wide(&ups), function))?;
                }
            }
        }
        Ok(())
    }
}
