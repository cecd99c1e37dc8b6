//! Rotation by position, and what lands in the cache.

use half::f16;

use crate::check::Device;
use crate::check::device::{TOLERANCE, wide};
use crate::check::judge::{compare, distance};
use crate::error::Result;
use crate::gpu::BufferId;
use crate::ops::{Cache, CacheFormat, Columns, Rope, rope_table};
use crate::reference as twin;

use super::Case;

/// Heads, of which the first `rotated` values turn, at some places of some sequences.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Values of a head that turn.
    pub rotated: usize,
    /// Positions of a sequence.
    pub context: usize,
    /// Position and sequence of each row.
    pub places: &'static [(u32, u32)],
    /// How keys and values are stored.
    pub format: CacheFormat,
}

impl Turn {
    /// Positions at the ends of a long context.
    pub const FAR: &'static [(u32, u32)] =
        &[(0, 0), (255, 0), (256, 0), (65_537, 0), (130_815, 0), (131_071, 0)];

    /// Rows of three sequences in no order.
    pub const RAGGED: &'static [(u32, u32)] =
        &[(4, 1), (0, 0), (5, 1), (19, 2), (1, 0), (7, 2), (0, 1)];

    /// The table of both formats: far positions, partial rotation, none, odd widths.
    pub fn table() -> Vec<Self> {
        let (far, ragged) = (Self::FAR, Self::RAGGED);
        let cases = [
            ([2, 1, 8], 8, 131_072, far),
            ([1, 1, 16], 6, 131_072, far),
            ([9, 3, 64], 64, 20, ragged),
            ([4, 4, 128], 32, 20, ragged),
            ([3, 1, 7], 0, 20, ragged),
            ([5, 5, 10], 10, 20, ragged),
            ([1, 1, 80], 80, 1, &[(0, 0)]),
        ];
        let of = |format| {
            let case = move |(heads, rotated, context, places)| Self {
                heads,
                rotated,
                context,
                places,
                format,
            };
            cases.into_iter().map(case)
        };
        of(CacheFormat::F32).chain(of(CacheFormat::F16)).collect()
    }
}

impl Case for Turn {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], rotated, context, places, format } = self;
        let count = places.len();
        let (q_width, kv_width) = (heads * width, kv_heads * width);
        let sequences = 1 + places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
        let (k, v) = (BufferId::fresh(), BufferId::fresh());
        let mut cache = Cache { k, v, format, sequences, context, heads: kv_heads, width };
        (cache.k, cache.v) = (device.buffer(cache.bytes())?, device.buffer(cache.bytes())?);
        let frequencies: Vec<f64> =
            (0..rotated / 2).map(|i| 1e4_f64.powf(-2.0 * i as f64 / rotated as f64)).collect();
        let table = match rotated {
            0 => None,
            _ => Some((device.words(&rope_table(&frequencies, context))?, rotated)),
        };
        let rows = device.places(places)?;
        // Queries and keys side by side, values in a tensor of their own.
        let columns = q_width + kv_width;
        let joined = device.noise(count * columns);
        let values = device.noise(count * kv_width);
        let qk = device.tensor(count, columns, &joined)?;
        let v = Columns::all(device.tensor(count, kv_width, &values)?);
        let q = Columns::range(qk, 0, q_width);
        let k = Columns::range(qk, q_width, kv_width);
        let out = device.output(count, q_width)?;
        if !device.run(&Rope { rows, q, k, v, table, cache, out }, 0)? {
            return Ok(());
        }
        let positions: Vec<u32> = places.iter().map(|place| place.0).collect();
        let part = |start, width| -> Vec<f64> {
            joined.chunks(columns).flat_map(|row| wide(&row[start..start + width])).collect()
        };
        let turned = |values: &[f64], heads| {
            let size = twin::RopeSize { heads, head_width: width };
            twin::rope(values, &positions, &frequencies, size)
        };
        device.expect(&out, turned(&part(0, q_width), heads))?;
        let keys = turned(&part(q_width, kv_width), kv_heads);
        for (id, values) in [(cache.k, keys), (cache.v, wide(&values))] {
            let expected = laid_out(&cache, places, &values);
            expect_cache(device, id, format, expected)?;
        }
        Ok(())
    }
}

/// A cache that was zero until these rows were written; heads are padded to fours.
fn laid_out(cache: &Cache, places: &[(u32, u32)], values: &[f64]) -> Vec<f64> {
    let padded = cache.width.next_multiple_of(4);
    let slot = cache.heads * padded;
    let mut all = vec![0.0; cache.sequences * cache.context * slot];
    for (&(position, sequence), row) in places.iter().zip(values.chunks(cache.heads * cache.width))
    {
        let at = (sequence as usize * cache.context + position as usize) * slot;
        for (to, head) in all[at..].chunks_mut(padded).zip(row.chunks(cache.width)) {
            to[..cache.width].copy_from_slice(head);
        }
    }
    all
}

/// Holds a cache against what should lie in it.
pub(super) fn expect_cache(
    device: &mut Device,
    buffer: BufferId,
    format: CacheFormat,
    twin: Vec<f64>,
) -> Result<()> {
    if format == CacheFormat::F32 {
        return expect_words(device, buffer, twin, TOLERANCE);
    }
    // Products in half floats have rounded before.
    let rounded = device.takes_halves();
    // WGSL leaves open which way a half is rounded, so each may be off by its last bit.
    device.judge(buffer, 2 * twin.len() as u64, 1e-3, move |bytes, _| {
        let found: Vec<f16> = bytemuck::pod_collect_to_vec(bytes);
        let gap = |(found, twin): (&f16, &f64)| {
            (found.to_f64() - twin).abs() / (twin.abs() / 1000.0 + 6e-8)
        };
        let gaps = found.iter().zip(&twin).map(gap).enumerate();
        // A NaN is larger than any number here.
        let (at, gap) = gaps.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        let reason = format!("half {at} is {}, not {}", found[at], twin[at]);
        if gap <= 1.0 || (rounded && gap.is_finite()) {
            let found: Vec<f32> = found.iter().map(|half| half.to_f32()).collect();
            return (distance(&found, &twin), String::new());
        }
        (f64::NAN, reason)
    })
}

/// Holds a buffer of floats, without padding, against the twin's values.
pub(super) fn expect_words(
    device: &mut Device,
    buffer: BufferId,
    twin: Vec<f64>,
    tolerance: f64,
) -> Result<()> {
    device.judge(buffer, 4 * twin.len() as u64, tolerance, move |bytes, tolerance| {
        compare(&bytemuck::pod_collect_to_vec::<u8, f32>(bytes), &twin, tolerance)
    })
}
