//! Rotation by position, and what lands in the cache.

use half::f16;

use crate::check::Device;
use crate::check::device::{TOLERANCE, wide};
use crate::check::judge::{compare, distance};
use crate::config::Rotation;
use crate::error::Result;
use crate::gpu::BufferId;
use crate::ops::{Cache, CacheFormat, CachePart, CacheRows, Columns, Rope, rope_table};
use crate::reference as twin;

use super::Case;

/// Heads, of which the first `rotated` values turn, at some places of some sequences.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Values of a head that turn.
    pub rotated: usize,
    /// What turned values are multiplied by.
    pub amplitude: f64,
    /// Positions of a sequence.
    pub context: usize,
    /// Position and sequence of each row.
    pub places: &'static [(u32, u32)],
    /// How keys and values are stored.
    pub format: CacheFormat,
    /// The binding limit allows about one such part of the cache.
    pub parts: u64,
}

impl Turn {
    /// Positions at the ends of a long context.
    pub const FAR: &'static [(u32, u32)] =
        &[(0, 0), (255, 0), (256, 0), (65_537, 0), (130_815, 0), (131_071, 0)];

    /// Rows of three sequences in no order.
    pub const RAGGED: &'static [(u32, u32)] =
        &[(4, 1), (0, 0), (5, 1), (19, 2), (1, 0), (7, 2), (0, 1)];

    /// Far positions, partial rotation, none, odd widths; every format of the cache, whole and in
    /// parts.
    pub fn table() -> Vec<Self> {
        let (far, ragged) = (Self::FAR, Self::RAGGED);
        let cases = [
            ([2, 1, 8], 8, 1.0, 131_072, far),
            ([1, 1, 16], 6, 1.0, 131_072, far),
            ([9, 3, 64], 64, 1.0, 20, ragged),
            ([4, 4, 128], 32, 1.25, 20, ragged),
            ([3, 1, 7], 0, 1.0, 20, ragged),
            ([5, 5, 10], 10, 1.0, 20, ragged),
            ([1, 1, 80], 80, 1.0, 1, &[(0, 0)]),
        ];
        let kinds = [CacheFormat::F32, CacheFormat::F16];
        let kinds = kinds.into_iter().flat_map(|format| [(format, 1), (format, 3)]);
        kinds
            .flat_map(|(format, parts)| {
                cases.map(|(heads, rotated, amplitude, context, places)| Self {
                    heads,
                    rotated,
                    amplitude,
                    context,
                    places,
                    format,
                    parts,
                })
            })
            .collect()
    }
}

impl Case for Turn {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], rotated, context, places, format, .. } = self;
        let count = places.len();
        let (q_width, kv_width) = (heads * width, kv_heads * width);
        let sequences = 1 + places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
        let shape = ([sequences, context], [kv_heads, width]);
        let bytes = Cache::named(format, shape.0, shape.1, u64::MAX).bytes();
        let cache = Cache::named(format, shape.0, shape.1, bytes / self.parts);
        for part in &cache.parts {
            device.make(part.k, cache.part_bytes(part))?;
            device.make(part.v, cache.part_bytes(part))?;
        }
        let frequency = |i| 1e4_f64.powf(-2.0 * f64::from(i) / rotated as f64);
        let frequencies = (0..rotated as u32 / 2).map(frequency).collect();
        let rotation = Rotation { frequencies, amplitude: self.amplitude };
        let table = match rotated {
            0 => None,
            _ => Some((device.words(&rope_table(&rotation, context))?, rotated)),
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
        if !device.run(&Rope { rows, q, k, v, table, cache: &cache, out }, 0)? {
            return Ok(());
        }
        let positions: Vec<u32> = places.iter().map(|place| place.0).collect();
        let part = |start, width| -> Vec<f64> {
            joined.chunks(columns).flat_map(|row| wide(&row[start..start + width])).collect()
        };
        let turned = |values: &[f64], heads| {
            let size = twin::RopeSize { heads, head_width: width };
            twin::rope(values, &positions, &rotation, size)
        };
        device.expect(&out, turned(&part(0, q_width), heads))?;
        let (keys, values) = (turned(&part(q_width, kv_width), kv_heads), wide(&values));
        for part in &cache.parts {
            for (id, values) in [(part.k, &keys), (part.v, &values)] {
                expect_cache(device, id, format, laid_out(&cache, part, places, values))?;
            }
        }
        let own = device.output(count, kv_width)?;
        if device.run(&CacheRows { rows, cache: &cache, out: own }, 0)? {
            let tolerance = if format == CacheFormat::F16 { 1e-3 } else { TOLERANCE };
            device.expect_within(&own, keys, tolerance)?;
        }
        Ok(())
    }
}

/// A part of a cache that was zero until these rows were written; heads are padded to fours.
fn laid_out(cache: &Cache, part: &CachePart, places: &[(u32, u32)], values: &[f64]) -> Vec<f64> {
    let padded = cache.width.next_multiple_of(4);
    let mut all = vec![0.0; cache.sequences * cache.heads * part.count * padded];
    for (&(position, sequence), row) in places.iter().zip(values.chunks(cache.heads * cache.width))
    {
        let Some(place) = (position as usize).checked_sub(part.first) else { continue };
        if place >= part.count {
            continue;
        }
        for (head, values) in row.chunks(cache.width).enumerate() {
            let slot = (sequence as usize * cache.heads + head) * part.count + place;
            all[slot * padded..][..cache.width].copy_from_slice(values);
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
