//! The derivatives of what works row by row or value by value.

use crate::check::Device;
use crate::check::device::{TOLERANCE, Values, wide};
use crate::config::{Nonlinearity, Norm};
use crate::error::Result;
use crate::names::Format;
use crate::ops::Weight;
use crate::ops::backward::{
    ActivateBackward, CrossEntropy, Dropout, EmbedBackward, GainBackward, GatedBackward,
    NormBackward, runs_of,
};
use crate::reference::backward as twin;

use super::super::Case;
use super::super::rope::expect_words;
use super::{begun, expect_padding, expect_weight, sum};

/// What comes back through both norms, to their input and their gain.
#[derive(Clone, Copy, Debug)]
pub struct NormsBack {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// What was normalised.
    pub values: Values,
}

impl Case for NormsBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, values } = self;
        let x = device.values(values, rows * columns);
        let (dy, gains) = (device.noise(rows * columns), device.noise(columns));
        let ones = vec![1.0; columns];
        let (all, back) = (wide(&x), wide(&dy));
        let x = device.tensor(rows, columns, &x)?;
        let dy = device.tensor(rows, columns, &dy)?;
        let gain = device.tensor(1, columns, &gains)?;
        let stats = device.output(rows, 2)?;
        for (gain, add) in [(Some(gain), false), (None, true)] {
            let gains = if gain.is_some() { &gains } else { &ones };
            for centred in [true, false] {
                let (dx, before) = begun(device, rows, columns)?;
                let eps = 1e-5;
                let (expected, ran) = if centred {
                    let norm = Norm::LayerNorm;
                    let op = NormBackward { norm, x, gain, dy, eps, add, dx, stats };
                    (twin::layer_norm_backward(&all, gains, &back, eps), device.run(&op, 0)?)
                } else {
                    let norm = Norm::RmsNorm;
                    let op = NormBackward { norm, x, gain, dy, eps, add, dx, stats };
                    (twin::rms_norm_backward(&all, gains, &back, eps), device.run(&op, 0)?)
                };
                if !ran {
                    continue;
                }
                // Equal values leave the rounding of their mean, where the twin has nothing; and of a
                // row of one value all that comes back is what rounding leaves.
                let nothing = expected.x.iter().all(|x| x.abs() < 1e-12);
                let lost = nothing && !add || columns == 1;
                let within = if lost { f64::INFINITY } else { TOLERANCE };
                let dx_twin = if add { sum(&before, &expected.x) } else { expected.x };
                device.expect_within(&dx, dx_twin, within)?;
                let (out, before) = begun(device, 1, columns)?;
                if device.run(&GainBackward { x, dy, stats, out }, 0)? {
                    let all = sum(&before, &expected.gain);
                    device.expect_within(&out, all, if within > 1.0 { 1e-2 } else { TOLERANCE })?;
                    expect_padding(device, &out)?;
                }
            }
        }
        Ok(())
    }
}

/// What comes back through every function, alone and behind a gate.
#[derive(Clone, Copy, Debug)]
pub struct FunctionsBack {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// Arguments are scale · (−1..1).
    pub scale: f32,
}

impl Case for FunctionsBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, scale } = self;
        let count = rows * columns;
        let mut noise = || -> Vec<f32> { device.noise(count) };
        let (x, up, dy) = (noise().iter().map(|x| scale * x).collect::<Vec<_>>(), noise(), noise());
        let both: Vec<f32> = x.iter().zip(&up).flat_map(|(gate, up)| [*gate, *up]).collect();
        let pre = device.tensor(rows, columns, &x)?;
        let both = device.tensor(rows, 2 * columns, &both)?;
        let back = device.tensor(rows, columns, &dy)?;
        let out = device.output(rows, columns)?;
        let dboth = device.output(rows, 2 * columns)?;
        let (x, up, dy) = (wide(&x), wide(&up), wide(&dy));
        for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
            if device.run(&ActivateBackward { x: pre, dy: back, function, out }, 0)? {
                device.expect(&out, twin::activate_backward(&x, &dy, function))?;
            }
            if device.run(&GatedBackward { both, dy: back, function, out: dboth }, 0)? {
                let (gate, up) = twin::gated_backward(&x, &up, &dy, function);
                let all = gate.iter().zip(&up).flat_map(|(gate, up)| [*gate, *up]).collect();
                device.expect(&dboth, all)?;
            }
        }
        Ok(())
    }
}

/// What comes back to a table, from rows that hold some ids several times.
#[derive(Clone, Copy, Debug)]
pub struct TokensBack {
    /// Rows.
    pub rows: usize,
    /// Ids and values of each.
    pub shape: [usize; 2],
    /// The most rows of a part of the table; all in one without.
    pub part: Option<usize>,
}

impl Case for TokensBack {
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
        if device.run(&EmbedBackward { runs, order, dy, scale, table: &table }, 0)? {
            let added = twin::embed_backward(&ids, &wide(&values), vocab, columns);
            let added: Vec<f64> = added.iter().map(|value| scale * value).collect();
            expect_weight(device, &table, &sum(&wide(&before), &added))?;
        }
        Ok(())
    }
}

/// The loss of some rows of logits, and what comes back to them.
#[derive(Clone, Copy, Debug)]
pub struct TargetsBack {
    /// Rows.
    pub rows: usize,
    /// Logits of a row.
    pub vocab: usize,
    /// What they are.
    pub values: Values,
}

impl Case for TargetsBack {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, vocab, values } = self;
        let values = device.values(values, rows * vocab);
        // Of the rows before `first`, which others see to, the losses stay.
        let first = 3;
        let ignored = |row: usize| row % 4 == 2 && rows > 1;
        let target =
            |row: usize| if ignored(row) { twin::IGNORED } else { (row * 31 % vocab) as u32 };
        let targets: Vec<u32> = (0..rows).map(target).collect();
        let counted = targets.iter().filter(|target| **target != twin::IGNORED).count();
        let logits = device.tensor(rows, vocab, &values)?;
        let before = device.noise(first);
        let all = [vec![7; first], targets.clone()].concat();
        let ids = device.words(&all)?;
        let losses = device.words(&[before.clone(), vec![9.0; rows]].concat())?;
        let share = device.words(&[1.0 / counted as f32])?;
        if device.run(&CrossEntropy { logits, targets: ids, first, losses, share }, 0)? {
            let loss = twin::cross_entropy(&wide(&values), &targets);
            // In a vocabulary of one, the token is certain.
            let within = if vocab == 1 { f64::INFINITY } else { TOLERANCE };
            device.expect_within(&logits, loss.logits, within)?;
            let each = values
                .chunks(vocab)
                .zip(&targets)
                .map(|(row, target)| twin::cross_entropy(&wide(row), &[*target]).mean);
            let all = wide(&before).into_iter().chain(each).collect();
            expect_words(device, losses, all, TOLERANCE)?;
        }
        Ok(())
    }
}

/// Values that are dropped by chance: the same ones on every device.
#[derive(Clone, Copy, Debug)]
pub struct Drops {
    /// Rows.
    pub rows: usize,
    /// Values of a row.
    pub columns: usize,
    /// How many are dropped.
    pub probability: f64,
}

impl Case for Drops {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, columns, probability } = self;
        let (seed, site, step) = (0x0123_4567_89ab_cdef_u64, 5, 77);
        // None is zero by itself, so that zeros tell who was dropped.
        let values: Vec<f32> = device.noise(rows * columns).iter().map(|x| x + 2.0).collect();
        let x = device.tensor(rows, columns, &values)?;
        let draw = device.words(&[seed as u32, (seed >> 32) as u32, step, 0])?;
        if device.run(&Dropout { x, probability, draw, site }, 0)? {
            let mut expected = wide(&values);
            twin::dropout(&mut expected, probability, seed, site, step);
            device.expect(&x, expected)?;
        }
        Ok(())
    }
}
