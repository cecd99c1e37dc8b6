//! Attention over the cache: split for few rows, whole for many.

use crate::check::device::{Device, to_f64};
use crate::error::Result;
use crate::measure;
use crate::ops::{self, CacheFormat, Columns, Mask};
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

/// Attention over a cache in f16 that was given a key, or a value, without an f16: what uses it is
/// infinite or NaN, and nothing else changes.
#[derive(Clone, Debug)]
pub struct AttentionBeyondF16 {
    /// The rows, over a cache in f16.
    pub rows: AttentionRows,
    /// The position that holds it, in the first sequence.
    pub at: u32,
    /// The key and the value there.
    pub given: [f32; 2],
}

impl Case for AttentionBeyondF16 {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self { rows: case, at, given: [key, value] } = self;
        let inputs = case.upload(device)?;
        let &Inputs { rows, q, ref cache, extent, size, .. } = &inputs;
        let &AttentionRows { window, scale, softcap, .. } = case;
        let slot = cache.heads * cache.width;
        let [keys, values] = [key, value].map(|given| vec![*given; slot]);
        let [k, v] = [device.tensor(1, slot, &keys)?, device.tensor(1, slot, &values)?];
        let place = device.rows(&[(*at, 0)])?;
        let copy = device.output(1, slot)?;
        let [own_k, own_v] = [k, v].map(Columns::all);
        let store =
            ops::Rope { rows: place, q: own_k, k: own_k, v: own_v, table: None, cache, out: copy };
        let out = device.output(q.rows, q.columns)?;
        let attend = ops::Attention { rows, q, cache, mask: Mask { window, scale, softcap }, out };
        if !device.run_all(&[&store, &attend], extent, 1)? {
            return Ok(());
        }
        let before = [&inputs.keys, &inputs.values];
        let [all_keys, all_values] =
            [(before[0], &keys), (before[1], &values)].map(|(all, own)| {
                let mut all = all.clone();
                all[*at as usize * slot..][..slot].copy_from_slice(&to_f64(own));
                all
            });
        // An own run of the twin for each row; none for those that use it.
        let expected: Vec<Option<Vec<f64>>> = inputs
            .by_row()
            .zip(&case.positions)
            .map(|(q, &(position, sequence))| {
                let seen = sequence == 0
                    && *at <= position
                    && window.is_none_or(|window| ((position - at) as usize) < window);
                (!seen).then(|| {
                    let keys = inputs.sequence(&all_keys, sequence);
                    let values = inputs.sequence(&all_values, sequence);
                    twin::attention(q, keys, values, &[position], size)
                })
            })
            .collect();
        let (stride, tolerance) = (out.stride(), case.tolerance());
        device.compare_bytes(out.buffer, out.bytes(), tolerance, move |bytes, tolerance| {
            let found: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let mut error = 0.0_f64;
            for (row, (found, expected)) in found.chunks(stride).zip(&expected).enumerate() {
                let found = &found[..q.columns];
                match expected {
                    None if found.iter().any(|value| value.is_finite()) => {
                        let text = format!("row {row} uses what has no f16, and is {found:?}");
                        return (f64::INFINITY, text);
                    }
                    None => {}
                    Some(twin) => {
                        error = measure::largest([error, measure::relative_error(found, twin)]);
                    }
                }
            }
            (
                error,
                if error > tolerance {
                    "a row without it is wrong".to_owned()
                } else {
                    String::new()
                },
            )
        })
    }
}
