//! Log-probabilities of given tokens.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::expect::expect_words;
use super::fixtures::SHAPES;

/// ln p of one token per row.
#[derive(Clone, Copy, Debug)]
pub struct LogProb {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// What they are.
    pub values: Values,
}

impl Case for LogProb {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, vocab, values } = self;
        let values = device.values(values, rows * vocab);
        let targets: Vec<u32> = (0..rows).map(|row| (row * 31 % vocab) as u32).collect();
        let logits = device.tensor(rows, vocab, &values)?;
        let ids = device.words(&targets)?;
        let out = device.buffer(4 * rows as u64)?;
        if device.run(&ops::LogProb { logits, targets: ids, out }, 0)? {
            expect_words(device, out, twin::log_prob(&to_f64(&values), &targets), TOLERANCE)?;
        }
        Ok(())
    }
}

impl Tables for LogProb {
    fn variants() -> Vec<Self> {
        let of = |(rows, vocab)| Values::ALL.map(|values| Self { rows, vocab, values });
        let long = Self { rows: 3, vocab: 50_257, values: Values::Plain };
        SHAPES.into_iter().flat_map(of).chain([long]).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, vocab: 1003, values }).to_vec()
    }
}
