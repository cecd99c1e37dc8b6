//! Draws of tokens.

use std::cell::RefCell;
use std::rc::Rc;

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
            // What the row then holds is compared once the last tokens are known.
            let last = Rc::new(RefCell::new(Vec::new()));
            let drawn_last = Rc::clone(&last);
            device.compare_bytes(ids, 4 * (steps * n) as u64, tolerance, move |bytes, _| {
                let ids: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
                *drawn_last.borrow_mut() = ids[ids.len().saturating_sub(n)..].to_vec();
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
            let steps = steps as u32;
            device.compare_bytes(rows, 16 * n as u64, 0.0, move |bytes, _| {
                let rows: Vec<[u32; 4]> = bytemuck::pod_collect_to_vec(bytes);
                let tokens = last.take();
                let moved = |sequence: usize| [tokens[sequence], steps, sequence as u32, steps];
                if tokens.len() == n && rows == (0..n).map(moved).collect::<Vec<_>>() {
                    return (0.0, String::new());
                }
                (f64::INFINITY, format!("rows are {rows:?} after the tokens {tokens:?}"))
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

/// Draws in which a token next to the cut of `top_p` would win if it survived.
///
/// One token has most of the mass, and equal ones share the rest. A cut that is off by 2⁻¹² of the
/// mass keeps some of them too many or too few, which draws at random would hardly ever show. So each
/// row begins at a step at which the noise prefers one of them.
#[derive(Clone, Copy, Debug)]
pub struct SampleAtCut {
    /// Rows whose draw should be one of the last survivors; in as many others, one of the first
    /// tokens that are dropped would win.
    pub rows: usize,
}

impl SampleAtCut {
    const VOCAB: usize = 4096;
    /// The id of the token with most of the mass.
    const TOP: usize = 100;
    /// ln 2⁻¹⁷, the mass of every other token.
    const TAIL: f32 = -11.783_502;
    const SAMPLING: Sampling = Sampling { temperature: 1.0, top_p: 0.99, ..SETTINGS[1] };
    /// How many tokens on either side of the cut count as next to it.
    const NEAR: usize = 4;

    /// The steps of the first sequence at which one of these ids wins among these tokens.
    fn steps(&self, tokens: &[(u32, f64)], ids: &[u32]) -> Vec<u32> {
        let score = |step, &(id, logit): &(u32, f64)| {
            logit + twin::gumbel(twin::noise(Self::SAMPLING.seed, 0, step, id))
        };
        let wins = |step: &u32| {
            let best = |tokens: &mut dyn Iterator<Item = &(u32, f64)>| {
                tokens.map(|token| score(*step, token)).max_by(f64::total_cmp)
            };
            let near = best(&mut tokens.iter().filter(|token| ids.contains(&token.0)));
            // Most of the time they lose to the first token alone.
            let first = tokens.first().map(|token| score(*step, token));
            near > first && near == best(&mut tokens.iter())
        };
        (0..).filter(wins).take(self.rows).collect()
    }
}

impl Case for SampleAtCut {
    fn run(&self, device: &mut Device) -> Result<()> {
        let sampling = Self::SAMPLING;
        let mut row = vec![Self::TAIL; Self::VOCAB];
        row[Self::TOP] = 0.0;
        let all = twin::survivors(&to_f64(&row), &Sampling { top_p: 1.0, ..sampling });
        let cut = twin::survivors(&to_f64(&row), &sampling).len();
        let ids = |tokens: &[(u32, f64)]| tokens.iter().map(|token| token.0).collect::<Vec<_>>();
        let (last, next) = (ids(&all[cut - Self::NEAR..cut]), ids(&all[cut..cut + Self::NEAR]));
        let mut steps = self.steps(&all[..cut], &last);
        steps.extend(self.steps(&all[..cut + Self::NEAR], &next));

        let n = steps.len();
        let logits = device.tensor(n, Self::VOCAB, &row.repeat(n))?;
        let first: Vec<[u32; 4]> = steps.iter().map(|step| [0, 0, 0, *step]).collect();
        let rows = device.words(&first)?;
        let ids = device.buffer(4 * n as u64)?;
        let op = ops::Sample { logits, rows, counts: None, sampling, ids, ring: 1 };
        if !device.run(&op, 0)? {
            return Ok(());
        }
        device.compare_bytes(ids, 4 * n as u64, 0.0, move |bytes, _| {
            let ids: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
            let drawn = Drawn::new(&to_f64(&row), &sampling, 0);
            let wrong = |(step, id): &(u32, u32)| drawn.agrees(*step, *id) != Some(true);
            match steps.iter().copied().zip(ids.iter().copied()).find(wrong) {
                _ if ids.len() != n => (f64::INFINITY, format!("{} tokens, not {n}", ids.len())),
                Some((step, id)) => (f64::INFINITY, format!("drew {id} at step {step}")),
                None => (0.0, String::new()),
            }
        })
    }
}

impl Tables for SampleAtCut {
    fn variants() -> Vec<Self> {
        vec![Self { rows: 2 }]
    }
}
