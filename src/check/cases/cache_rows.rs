//! Each row's own keys.

use crate::check::device::Device;
use crate::error::Result;
use crate::ops::{self, CacheFormat};
use crate::reference as twin;

use super::attention_rows::{AttentionRows, Inputs};
use super::case::{Case, Tables};

/// The keys at the positions of some rows.
#[derive(Clone, Debug)]
pub struct CacheRows(pub AttentionRows);

impl Case for CacheRows {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(case) = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, ref cache, extent, .. } = &inputs;
        let slot = cache.heads * cache.width;
        let out = device.output(case.positions.len(), slot)?;
        if device.run(&ops::CacheRows { rows, cache, out }, extent)? {
            let keys = case.positions.iter().flat_map(|&(position, sequence)| {
                twin::cache_rows(inputs.sequence(&inputs.keys, sequence), &[position], slot)
            });
            device.expect(&out, keys.collect())?;
        }
        Ok(())
    }
}

impl CacheRows {
    /// Far positions, padded heads and those without padding, in both formats, whole and in parts.
    pub fn table() -> Vec<Self> {
        let far = vec![(0, 0), (255, 0), (256, 0), (65_537, 0), (130_815, 0), (131_071, 0)];
        let ragged = vec![(4, 1), (0, 0), (5, 1), (19, 2), (1, 0), (7, 2), (0, 1)];
        let cases = [
            ([2, 1, 8], 131_072, far),
            ([9, 3, 64], 20, ragged.clone()),
            ([4, 4, 128], 20, ragged.clone()),
            ([3, 1, 7], 20, ragged.clone()),
            ([5, 5, 10], 20, ragged),
            ([1, 1, 80], 1, vec![(0, 0)]),
        ];
        let mut table = Vec::new();
        for format in [CacheFormat::F32, CacheFormat::F16] {
            for parts in [1, 3] {
                table.extend(cases.clone().map(|(heads, context, positions)| {
                    let part = if parts == 1 { usize::MAX } else { (context / parts).max(1) };
                    Self(AttentionRows {
                        format,
                        part,
                        ..AttentionRows::new(heads, context, positions)
                    })
                }));
            }
        }
        table
    }
}

impl Tables for CacheRows {
    fn once() -> Vec<Self> {
        let steps = AttentionRows::table().into_iter().map(Self);
        steps.chain(Self::table()).collect()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        Self::table().into_iter().filter(|case| case.0.context < 1000).collect()
    }
}
