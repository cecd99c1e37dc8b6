//! The most probable tokens.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::measure;
use crate::ops::{self, Chosen};
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::bell;

/// The most probable tokens of some rows, and each row's own token before them.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// How many.
    pub k: usize,
    /// Whether logits are rounded, which makes ties.
    pub tied: bool,
}

impl Case for TopK {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows: n, vocab, k, tied } = self;
        let values = bell(device, n * vocab, if tied { 1.0 } else { 0.0 });
        let logits = device.tensor(n, vocab, &values)?;
        // Step 6 in a ring of 4: slot 1 holds the tokens drawn at step 5.
        let own = move |row: usize| (row * 13 + vocab / 2) % vocab;
        let first: Vec<[u32; 4]> = (0..n).map(|row| [own(row) as u32, 1, 0, 6]).collect();
        let rows = device.words(&first)?;
        for chosen in [None, Some(Chosen { rows, ring: 4 })] {
            let with = usize::from(chosen.is_some());
            let (pairs, slot) = (k + with, with * n);
            let out = device.buffer((8 * 4 * n * pairs) as u64)?;
            if !device.run(&ops::TopK { logits, k, chosen, out }, 0)? {
                continue;
            }
            let values = to_f64(&values);
            device.compare_bytes(out, (8 * 4 * n * pairs) as u64, 1e-5, move |bytes, _| {
                let found: Vec<[u32; 2]> = bytemuck::pod_collect_to_vec(bytes);
                // The ring's slots before and after belong to other steps.
                let found: Vec<_> = found.chunks(pairs.max(1)).skip(slot).take(n).collect();
                if found.len() != values.len() / vocab {
                    return (f64::INFINITY, format!("{} rows, not {n}", found.len()));
                }
                let mut gaps = Vec::new();
                for (row, (found, values)) in found.iter().zip(values.chunks(vocab)).enumerate() {
                    let log_p = twin::log_softmax(values, vocab);
                    let own = (with > 0).then(|| (own(row) as u32, log_p[own(row)]));
                    let best: Vec<_> = own.into_iter().chain(twin::top_k(values, k)).collect();
                    if found.len() != best.len() {
                        return (f64::INFINITY, format!("row {row} has {} pairs", found.len()));
                    }
                    for ([id, bits], (twin, expected)) in found.iter().zip(best) {
                        let gap = (f64::from(f32::from_bits(*bits)) - expected).abs();
                        // Another token is right only if rounding decides between the two.
                        let token = log_p.get(*id as usize).copied().unwrap_or(f64::NAN);
                        let close = token != expected && (token - expected).abs() < 1e-5;
                        if gap.is_nan() || (*id != twin && !close) {
                            return (f64::INFINITY, format!("row {row} lists {id}, not {twin}"));
                        }
                        gaps.push(gap / expected.abs().max(1.0));
                    }
                }
                (measure::largest(gaps), String::new())
            })?;
        }
        Ok(())
    }
}

impl Tables for TopK {
    fn variants() -> Vec<Self> {
        let of = |(rows, vocab, k)| [false, true].map(|tied| Self { rows, vocab, k, tied });
        [(1, 1, 1), (3, 7, 7), (2, 501, 64), (3, 4096, 5)].into_iter().flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { rows: 2, vocab: 501, k: 5, tied: true }]
    }
}
