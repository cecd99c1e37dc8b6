//! Rotation by position, and what lands in the cache.

use crate::check::device::{Device, to_f64};
use crate::config::Rotation;
use crate::error::Result;
use crate::ops::{self, Cache, CacheFormat, CacheShard, Columns, rope_table};
use crate::reference as twin;

use super::case::{Case, Tables};
use super::expect::expect_cache;

/// Heads whose first `rotated` values are rotated, at some positions of some sequences.
#[derive(Clone, Copy, Debug)]
pub struct Rope {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Values of a head that are rotated.
    pub rotated: usize,
    /// What rotated values are multiplied by.
    pub amplitude: f64,
    /// Positions of a sequence.
    pub context: usize,
    /// Position and sequence of each row.
    pub positions: &'static [(u32, u32)],
    /// How keys and values are stored.
    pub format: CacheFormat,
    /// The number of parts that the binding limit cuts the cache into, about.
    pub parts: u64,
}

impl Rope {
    /// Positions at the ends of a long context.
    pub const FAR: &'static [(u32, u32)] =
        &[(0, 0), (255, 0), (256, 0), (65_537, 0), (130_815, 0), (131_071, 0)];

    /// Rows of three sequences, in no particular order.
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
                cases.map(|(heads, rotated, amplitude, context, positions)| Self {
                    heads,
                    rotated,
                    amplitude,
                    context,
                    positions,
                    format,
                    parts,
                })
            })
            .collect()
    }
}

impl Case for Rope {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { heads: [heads, kv_heads, width], rotated, context, positions, format, .. } =
            self;
        let count = positions.len();
        let (q_width, kv_width) = (heads * width, kv_heads * width);
        let sequences = 1 + positions.iter().map(|row| row.1).max().unwrap_or(0) as usize;
        let shape = ([sequences, context], [kv_heads, width]);
        let bytes = Cache::named(format, shape.0, shape.1, u64::MAX).bytes();
        let cache = Cache::named(format, shape.0, shape.1, bytes / self.parts);
        for part in &cache.shards {
            device.create(part.k, cache.shard_bytes(part))?;
            device.create(part.v, cache.shard_bytes(part))?;
        }
        let frequency = |i| 1e4_f64.powf(-2.0 * f64::from(i) / rotated as f64);
        let frequencies = (0..rotated as u32 / 2).map(frequency).collect();
        let rotation = Rotation { frequencies, amplitude: self.amplitude };
        let table = match rotated {
            0 => None,
            _ => Some((device.words(&rope_table(&rotation, context))?, rotated)),
        };
        let rows = device.rows(positions)?;
        // Queries and keys side by side, values in a separate tensor.
        let columns = q_width + kv_width;
        let joined = device.noise(count * columns);
        let values = device.noise(count * kv_width);
        let qk = device.tensor(count, columns, &joined)?;
        let v = Columns::all(device.tensor(count, kv_width, &values)?);
        let q = Columns::range(qk, 0, q_width);
        let k = Columns::range(qk, q_width, kv_width);
        let out = device.output(count, q_width)?;
        if !device.run(&ops::Rope { rows, q, k, v, table, cache: &cache, out }, 0)? {
            return Ok(());
        }
        let row_positions: Vec<u32> = positions.iter().map(|row| row.0).collect();
        let part = |start, width| -> Vec<f64> {
            joined.chunks(columns).flat_map(|row| to_f64(&row[start..start + width])).collect()
        };
        let turned = |values: &[f64], heads| {
            let size = twin::RopeSize { heads, head_width: width };
            twin::rope(values, &row_positions, &rotation, size)
        };
        device.expect(&out, turned(&part(0, q_width), heads))?;
        let (keys, values) = (turned(&part(q_width, kv_width), kv_heads), to_f64(&values));
        for part in &cache.shards {
            for (id, values) in [(part.k, &keys), (part.v, &values)] {
                expect_cache(device, id, format, laid_out(&cache, part, positions, values))?;
            }
        }
        Ok(())
    }
}

impl Tables for Rope {
    fn once() -> Vec<Self> {
        Self::table()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        // One far case has the cache of a long context; the other has twice as much, which is a lot
        // in a browser.
        Self::table().into_iter().filter(|case| case.context < 1000 || case.rotated == 8).collect()
    }
}

/// Keys and values at the ends of what f16 holds, and beyond them.
#[derive(Clone, Copy, Debug)]
pub struct CacheEnds {
    /// The width of a head.
    pub width: usize,
}

impl CacheEnds {
    /// The largest f16, what still rounds to it, what does not, and what no float is beyond.
    const VALUES: [f32; 12] = [
        65_504.0,
        65_519.99,
        65_520.0,
        65_536.0,
        1e6,
        3e38,
        f32::INFINITY,
        f32::NAN,
        0.0,
        1.0,
        6.1e-5,
        2049.0,
    ];
}

impl Case for CacheEnds {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { width } = self;
        let format = CacheFormat::F16;
        let positions: Vec<(u32, u32)> = (0..13).map(|position| (position, 0)).collect();
        let cache = Cache::named(format, [1, positions.len()], [1, width], u64::MAX);
        let part = cache.shards[0];
        device.create(part.k, cache.bytes())?;
        device.create(part.v, cache.bytes())?;
        let ends = Self::VALUES.into_iter().flat_map(|value| [value, -value]).cycle();
        let keys: Vec<f32> = ends.take(positions.len() * width).collect();
        let values: Vec<f32> = keys.iter().rev().copied().collect();
        let rows = device.rows(&positions)?;
        let q = device.tensor(positions.len(), width, &keys)?;
        let (k, v) = (q, device.tensor(positions.len(), width, &values)?);
        let out = device.output(positions.len(), width)?;
        let [q, k, v] = [q, k, v].map(Columns::all);
        if device.run(&ops::Rope { rows, q, k, v, table: None, cache: &cache, out }, 0)? {
            for (id, values) in [(part.k, keys), (part.v, values)] {
                let held = laid_out(&cache, &part, &positions, &to_f64(&values));
                expect_cache(device, id, format, held)?;
            }
        }
        Ok(())
    }
}

impl Tables for CacheEnds {
    fn once() -> Vec<Self> {
        [7, 64].map(|width| Self { width }).to_vec()
    }

    fn quick(_: [usize; 3]) -> Vec<Self> {
        vec![Self { width: 7 }]
    }
}

/// A part of a cache that was zero until these rows were written; heads are padded to vec4s.
fn laid_out(
    cache: &Cache,
    part: &CacheShard,
    positions: &[(u32, u32)],
    values: &[f64],
) -> Vec<f64> {
    let padded = cache.width.next_multiple_of(4);
    let mut all = vec![0.0; cache.sequences * cache.heads * part.count * padded];
    for (&(position, sequence), row) in
        positions.iter().zip(values.chunks(cache.heads * cache.width))
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
