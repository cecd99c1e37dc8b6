//! Named values of several runs over one text, put together.

use crate::config::Config;
use crate::hook::Hook;
use crate::model::hooks::{heads_first, shape};

/// A named value over some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Activation {
    /// Its name.
    pub hook: Hook,
    /// Its sizes, as [`Hook`] documents them: T is the number of rows, and the keys of scores and
    /// patterns are those of the furthest row.
    pub shape: Vec<usize>,
    /// Its values, row-major; scores that the mask hides are −∞.
    pub values: Vec<f32>,
}

/// Values of consecutive rows, as they arrive.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// For each hook, in the order of the forward pass, its values run by run.
    runs: Vec<(Hook, Vec<Activation>)>,
    rows: usize,
    keys: usize,
}

impl Collected {
    /// Adds the values of the next `rows` rows, the furthest of which sees `keys` keys. Every run
    /// gives the same hooks in the same order.
    pub(crate) fn add(&mut self, activations: Vec<Activation>, rows: usize, keys: usize) {
        if self.runs.is_empty() {
            self.runs = activations.iter().map(|value| (value.hook, Vec::new())).collect();
        }
        for ((hook, runs), activation) in self.runs.iter_mut().zip(activations) {
            join(runs, *hook, activation);
        }
        self.rows += rows;
        self.keys = self.keys.max(keys);
    }

    /// Adds what was collected of the rows that follow.
    pub(crate) fn append(&mut self, later: Self) {
        if self.runs.is_empty() {
            *self = later;
            return;
        }
        for ((hook, runs), (_, more)) in self.runs.iter_mut().zip(later.runs) {
            for activation in more {
                join(runs, *hook, activation);
            }
        }
        self.rows += later.rows;
        self.keys = self.keys.max(later.keys);
    }

    /// Each value over all rows.
    pub(crate) fn finish(self, config: &Config) -> Vec<Activation> {
        let (rows, keys) = (self.rows, self.keys);
        let whole = |(hook, mut runs): (Hook, Vec<Activation>)| {
            if runs.len() == 1
                && let Some(only) =
                    runs.pop_if(|only| only.shape == shape(config, hook, rows, keys))
            {
                return only;
            }
            by_head(config, hook, &runs, rows, keys)
        };
        self.runs.into_iter().map(whole).collect()
    }
}

/// Adds values of later rows.
fn join(runs: &mut Vec<Activation>, hook: Hook, activation: Activation) {
    match runs.last_mut() {
        // Rows follow each other.
        Some(all) if !heads_first(hook) => {
            all.values.extend_from_slice(&activation.values);
            all.shape[0] += activation.shape[0];
        }
        _ => runs.push(activation),
    }
}

/// Scores or patterns of all rows from those of each run: (H, T, S). Keys that a run did not reach
/// are hidden from its rows.
fn by_head(
    config: &Config,
    hook: Hook,
    runs: &[Activation],
    rows: usize,
    keys: usize,
) -> Activation {
    let hidden = if let Hook::AttnScores(_) = hook { f32::NEG_INFINITY } else { 0.0 };
    let shape = shape(config, hook, rows, keys);
    let mut values = vec![hidden; shape.iter().product()];
    for head in 0..config.heads {
        let mut row = 0;
        for run in runs {
            let (count, width) = (run.shape[1], run.shape[2]);
            for own in run.values[head * count * width..][..count * width].chunks(width.max(1)) {
                values[(head * rows + row) * keys..][..width].copy_from_slice(own);
                row += 1;
            }
        }
    }
    Activation { hook, shape, values }
}
