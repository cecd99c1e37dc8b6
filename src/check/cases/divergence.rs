//! Entropies, divergences and ranks.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::measure;
use crate::ops;
use crate::reference as twin;

use super::case::{Case, Tables};
use super::fixtures::{SHAPES, bell};

/// The distributions of some rows beside others; the last row has a logit that is infinite and one that
/// is NaN.
#[derive(Clone, Copy, Debug)]
pub struct Divergence {
    /// Rows.
    pub rows: usize,
    /// Logits per row.
    pub vocab: usize,
    /// Whether logits are rounded, which makes ties.
    pub tied: bool,
}

impl Case for Divergence {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { rows: n, vocab, tied } = self;
        let parts = if tied { 1.0 } else { 0.0 };
        let [mut own, other] = [(); 2].map(|()| bell(device, n * vocab, parts));
        if n > 1 && vocab > 2 {
            let row = &mut own[(n - 1) * vocab..];
            (row[0], row[vocab - 1]) = (f32::NAN, f32::NEG_INFINITY);
        }
        let wanted = vocab / 2;
        let (logits, last) = (device.tensor(n, vocab, &own)?, device.tensor(n, vocab, &other)?);
        let bytes = 16 * n as u64;
        for last in [last, logits] {
            let out = device.buffer(bytes)?;
            let wanted_id = wanted as u32;
            if !device.run(&ops::Divergence { logits, last, wanted: wanted_id, out }, 0)? {
                continue;
            }
            let (own, other) = (to_f64(&own), to_f64(if last == logits { &own } else { &other }));
            device.compare_bytes(out, bytes, 1e-5, move |bytes, _| {
                let found: Vec<[u32; 4]> = bytemuck::pod_collect_to_vec(bytes);
                let twins = twin::divergence(&own, &other, vocab, wanted);
                let mut gaps = Vec::new();
                for (row, ([entropy, kl, rank, strange], twin)) in
                    found.iter().zip(&twins).enumerate()
                {
                    if *strange as usize != twin.strange {
                        let reason = format!("row {row} counts {strange}, not {}", twin.strange);
                        return (f64::INFINITY, reason);
                    }
                    if twin.strange > 0 {
                        continue;
                    }
                    if *rank as usize != twin.rank {
                        return (
                            f64::INFINITY,
                            format!("row {row}: rank {rank}, not {}", twin.rank),
                        );
                    }
                    for (bits, twin) in [(entropy, twin.entropy), (kl, twin.kl)] {
                        let gap = (f64::from(f32::from_bits(*bits)) - twin).abs();
                        gaps.push(gap / twin.abs().max(1.0));
                    }
                }
                if found.len() != twins.len() {
                    return (f64::INFINITY, format!("{} rows, not {n}", found.len()));
                }
                (measure::largest(gaps), String::new())
            })?;
        }
        Ok(())
    }
}

impl Tables for Divergence {
    fn variants() -> Vec<Self> {
        let of = |(rows, vocab)| [false, true].map(|tied| Self { rows, vocab, tied });
        SHAPES.into_iter().chain([(3, 50_257)]).flat_map(of).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { rows: 3, vocab: 1003, tied: true }]
    }
}
