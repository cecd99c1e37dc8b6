//! The loss, and the gradient of the logits.

use crate::check::device::{Device, TOLERANCE, to_f64};
use crate::check::values::Values;
use crate::error::Result;
use crate::ops;
use crate::reference::backward as twin;

use super::super::case::{Case, Tables};
use super::super::expect::{expect_cancelled, expect_words};
use super::gradients::SMALL_SHAPES;

/// The loss of some rows of logits, and their gradient.
#[derive(Clone, Copy, Debug)]
pub struct CrossEntropy {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// What they are.
    pub values: Values,
}

impl Case for CrossEntropy {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows, vocab, values } = self;
        let values = device.values(values, rows * vocab);
        // The losses of the rows before `first`, which another run computes, stay unchanged.
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
        if device
            .run(&ops::backward::CrossEntropy { logits, targets: ids, first, losses, share }, 0)?
        {
            let loss = twin::cross_entropy(&to_f64(&values), &targets);
            if vocab == 1 {
                // The token is certain, and p − 1 is zero. The kernel computes p by a division,
                // which WGSL allows to be off by 2.5 ulp, or 5 roundings.
                expect_cancelled(device, &logits, loss.logits, 8.0, 1.0 / counted as f64)?;
            } else {
                device.expect(&logits, loss.logits)?;
            }
            let each = values
                .chunks(vocab)
                .zip(&targets)
                .map(|(row, target)| twin::cross_entropy(&to_f64(row), &[*target]).mean);
            let all = to_f64(&before).into_iter().chain(each).collect();
            expect_words(device, losses, all, TOLERANCE)?;
        }
        Ok(())
    }
}

impl Tables for CrossEntropy {
    fn variants() -> Vec<Self> {
        let of = |(rows, vocab)| Values::ALL.map(|values| Self { rows, vocab, values });
        SMALL_SHAPES.into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        [Values::Plain, Values::Large].map(|values| Self { rows: 3, vocab: 1003, values }).to_vec()
    }
}
