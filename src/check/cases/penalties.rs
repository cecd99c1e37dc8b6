//! Penalties on tokens that occurred before.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;
use crate::sampling::Sampling;

use super::case::{Case, Tables};
use super::fixtures::{SETTINGS, bell};

/// Logits of tokens, some of which occurred before.
#[derive(Clone, Copy, Debug)]
pub struct Penalties {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// How they are penalized.
    pub sampling: Sampling,
}

impl Case for Penalties {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, vocab, sampling } = self;
        let raw = bell(device, rows * vocab, 0.0);
        let seen: Vec<u32> = (0..rows * vocab).map(|i| [0, 0, 2, 1][i % 4]).collect();
        let logits = device.tensor(rows, vocab, &raw)?;
        let counts = device.words(&seen)?;
        let out = device.output(rows, vocab)?;
        if device.run(&ops::Penalties { logits, counts, sampling, out }, 0)? {
            device.expect(&out, twin::penalties(&to_f64(&raw), &seen, &sampling))?;
        }
        Ok(())
    }
}

impl Tables for Penalties {
    fn once() -> Vec<Self> {
        let of = |(rows, vocab)| SETTINGS.map(|sampling| Self { rows, vocab, sampling });
        [(1, 1), (3, 7), (2, 501), (2, 4096)].into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        SETTINGS.map(|sampling| Self { rows: 2, vocab: 501, sampling }).to_vec()
    }
}
