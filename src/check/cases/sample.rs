//! Draws of tokens.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::ops;
use crate::reference as twin;
use crate::sampling::Sampling;

use super::case::{Case, Tables};
use super::fixtures::{SETTINGS, bell};

/// What may be drawn from one row of logits: the survivors, and those under settings one rounding
/// away.
#[derive(Clone, Debug)]
pub struct Drawn {
    kept: Vec<(u32, f64)>,
    nearly: Vec<Vec<(u32, f64)>>,
    greedy: bool,
    seed: u64,
    sequence: u32,
}

impl Drawn {
    /// From one row of logits, penalties already applied.
    pub fn new(logits: &[f64], sampling: &Sampling, sequence: u32) -> Self {
        let temperature = f64::from(sampling.temperature);
        let greedy = temperature == 0.0;
        let scaled = logits.iter().map(|x| if greedy { *x } else { x / temperature });
        let scaled: Vec<f64> = scaled.collect();
        let kept = twin::survivors(&scaled, sampling);
        let mut nearly = Vec::new();
        if sampling.top_p < 1.0 || sampling.min_p > 0.0 {
            for slack in [1.0 - 1e-5, 1.0 + 1e-5] {
                let (top_p, min_p) = ((sampling.top_p * slack).min(1.0), sampling.min_p * slack);
                nearly.push(twin::survivors(&scaled, &Sampling { top_p, min_p, ..*sampling }));
            }
        }
        Self { kept, nearly, greedy, seed: sampling.seed, sequence }
    }

    /// The winner, and how far the token `id` is behind it.
    fn winner(&self, kept: &[(u32, f64)], step: u32, id: u32) -> (u32, f64) {
        let score = |&(id, logit): &(u32, f64)| {
            let noise = || twin::gumbel(twin::noise(self.seed, self.sequence, step, id));
            logit + if self.greedy { 0.0 } else { noise() }
        };
        // Survivors are in order, so that among equal ones the first wins.
        let best = kept.iter().rev().max_by(|a, b| score(a).total_cmp(&score(b)));
        let Some(best) = best else { return (u32::MAX, f64::INFINITY) };
        let asked = kept.iter().find(|token| token.0 == id);
        (best.0, asked.map_or(f64::INFINITY, |token| score(best) - score(token)))
    }

    /// Whether `id` is the twin's draw at this step, or `None` if only rounding decides.
    pub fn agrees(&self, step: u32, id: u32) -> Option<bool> {
        let (winner, behind) = self.winner(&self.kept, step, id);
        if winner == id {
            return Some(true);
        }
        let close =
            behind < 1e-4 || self.nearly.iter().any(|kept| self.winner(kept, step, id).0 == id);
        if close { None } else { Some(false) }
    }
}

/// Some tokens drawn from each of some rows, counted as they come; penalties look at the counts.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// Tokens drawn from each.
    pub steps: usize,
    /// How.
    pub sampling: Sampling,
    /// Whether logits are rounded to multiples of 1/2, which makes ties at every boundary.
    pub tied: bool,
}

impl Case for Sample {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows: n, vocab, steps, sampling, tied } = self;
        let raw = bell(device, n * vocab, if tied { 2.0 } else { 0.0 });
        let seen: Vec<u32> = (0..n * vocab).map(|i| [0, 0, 2, 1][i % 4]).collect();
        let logits = device.tensor(n, vocab, &raw)?;
        let out = device.output(n, vocab)?;
        let counts = device.words(&seen)?;
        let first: Vec<[u32; 4]> = (0..n as u32).map(|sequence| [0, 0, sequence, 0]).collect();
        let rows = device.words(&first)?;
        let ids = device.buffer(4 * (steps * n) as u64)?;
        let penalties = ops::Penalties { logits, counts, sampling, out };
        let counted =
            ops::Sample { logits: out, rows, counts: Some(counts), sampling, ids, ring: steps };
        let plain = ops::Sample { logits, counts: None, ..counted };
        let runs: [&[&dyn ops::Op]; 2] = [&[&plain], &[&penalties, &counted]];
        // Penalties turn ties into near ties, and then rounding decides which tokens survive.
        let runs = runs.into_iter().zip([false, true]).take(if tied { 1 } else { 2 });
        for (ops, counts) in runs {
            device.engine.write(rows, 0, bytemuck::cast_slice(&first))?;
            if !device.run_all(ops, 0, steps)? {
                continue;
            }
            let (raw, mut seen) = (to_f64(&raw), seen.clone());
            let tolerance = (1 + n * steps / 100) as f64 / (n * steps) as f64;
            device.compare_bytes(ids, 4 * (steps * n) as u64, tolerance, move |bytes, _| {
                let ids: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
                if ids.len() != steps * n {
                    return (f64::INFINITY, format!("{} tokens, not {}", ids.len(), steps * n));
                }
                let mut close = 0;
                for row in 0..n {
                    let (raw, seen) = (&raw[row * vocab..][..vocab], &mut seen[row * vocab..]);
                    let mut drawn = Drawn::new(raw, &sampling, row as u32);
                    for (step, ids) in ids.chunks(n).enumerate() {
                        if counts {
                            let logits = twin::penalties(raw, &seen[..vocab], &sampling);
                            drawn = Drawn::new(&logits, &sampling, row as u32);
                        }
                        let agrees = drawn.agrees(step as u32, ids[row]);
                        let id = ids[row] as usize;
                        if agrees == Some(false) || id >= vocab {
                            return (f64::INFINITY, format!("row {row} drew {id} at step {step}"));
                        }
                        close += usize::from(agrees.is_none());
                        seen[id] += 1;
                    }
                }
                (close as f64 / (n * steps) as f64, String::new())
            })?;
        }
        Ok(())
    }
}

impl Tables for Sample {
    fn variants() -> Vec<Self> {
        let mut table = Vec::new();
        for (rows, vocab, steps) in [(1, 1, 3), (3, 7, 20), (2, 501, 20), (2, 4096, 8)] {
            for sampling in SETTINGS {
                let draws = |tied| Self { rows, vocab, steps, sampling, tied };
                table.extend([false, true].map(draws));
            }
        }
        table
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        SETTINGS
            .map(|sampling| Self { rows: 2, vocab: 501, steps: 6, sampling, tied: false })
            .to_vec()
    }
}
