//! Attention over the cache: split for few rows, whole for many.

use crate::check::device::Device;
use crate::error::Result;
use crate::ops::{self, CacheFormat, Mask};
use crate::reference as twin;

use super::attention_rows::{AttentionRows, Inputs};
use super::case::{Case, Tables};

/// What some rows attend to.
#[derive(Clone, Debug)]
pub struct Attention(pub AttentionRows);

impl Case for Attention {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(case) = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, q, ref cache, extent, size, .. } = &inputs;
        let &AttentionRows { window, scale, softcap, .. } = case;
        let out = device.output(q.rows, q.columns)?;
        let mask = Mask { window, scale, softcap };
        if device.run(&ops::Attention { rows, q, cache, mask, out }, extent)? {
            let z = inputs.by_row().zip(&case.positions).flat_map(|(q, &(position, sequence))| {
                let keys = inputs.sequence(&inputs.keys, sequence);
                let values = inputs.sequence(&inputs.values, sequence);
                twin::attention(q, keys, values, &[position], size)
            });
            device.expect_within(&out, z.collect(), case.tolerance())?;
        }
        Ok(())
    }
}

impl Tables for Attention {
    fn variants() -> Vec<Self> {
        let heads = [4, 2, 20];
        let mut table: Vec<AttentionRows> = [1, 3, 9, 40]
            .map(|rows| AttentionRows::new(heads, 70, AttentionRows::ragged(rows, 70)))
            .to_vec();
        for format in [CacheFormat::F16, CacheFormat::F32] {
            // The last rows of a long context.
            for rows in [1, 10] {
                let positions = AttentionRows::row_run(4096 - rows, rows);
                table.push(AttentionRows { format, ..AttentionRows::new(heads, 4096, positions) });
            }
        }
        table.into_iter().chain(AttentionRows::table()).map(Self).collect()
    }

    /// Heads of several widths, by which every attention kernel unrolls.
    fn once() -> Vec<Self> {
        let (short, long) = (CacheFormat::F16, CacheFormat::F32);
        let widths = [(long, [1, 1, 7]), (long, [8, 1, 128]), (short, [9, 3, 64])];
        let of = |(format, heads)| {
            [1, 3, 9, 40].map(|rows| {
                let case = AttentionRows::new(heads, 70, AttentionRows::ragged(rows, 70));
                Self(AttentionRows { format, ..case })
            })
        };
        widths.into_iter().flat_map(of).collect()
    }

    fn quick(heads: [usize; 3]) -> Vec<Self> {
        let of = |format| {
            let one = AttentionRows::row_run(127, 1);
            let [few, many] = [5, 40].map(|rows| AttentionRows::ragged(rows, 130));
            [one, few, many].map(|positions| {
                Self(AttentionRows { format, ..AttentionRows::new(heads, 130, positions) })
            })
        };
        [CacheFormat::F32, CacheFormat::F16].into_iter().flat_map(of).collect()
    }
}
