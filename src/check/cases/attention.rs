//! Attention over the cache, fused and step by step, and what each head writes.

use half::f16;

use crate::check::Device;
use crate::check::device::{TOLERANCE, Values, wide};
use crate::check::judge::distance;
use crate::error::Result;
use crate::gpu::{BufferId, Tensor};
use crate::names::Format;
use crate::ops::{
    Attention, AttentionMix, AttentionResult, AttentionScores, Cache, CacheFormat, CacheRows,
    MASKED, Mask, Softmax, SumHeads, Weight,
};
use crate::reference as twin;

use super::Case;

/// Some rows of some sequences, attending to what their caches hold.
#[derive(Clone, Debug)]
pub struct Attend {
    /// Query heads, key heads, and their width.
    pub heads: [usize; 3],
    /// Positions of a sequence.
    pub context: usize,
    /// How many latest positions a row sees; all without.
    pub window: Option<usize>,
    /// What scores are multiplied by.
    pub scale: f64,
    /// What bounds them, softly.
    pub softcap: Option<f64>,
    /// Position and sequence of each row.
    pub places: Vec<(u32, u32)>,
    /// How keys and values are stored.
    pub format: CacheFormat,
    /// What the queries are.
    pub queries: Values,
    /// The most positions of a part of the cache.
    pub part: usize,
}

impl Attend {
    /// Rows that see everything before them, over f32 keys.
    pub fn new(heads: [usize; 3], context: usize, places: Vec<(u32, u32)>) -> Self {
        let (format, queries, part) = (CacheFormat::F32, Values::Plain, usize::MAX);
        let scale = 1.0 / (heads[2] as f64).sqrt();
        Self { heads, context, window: None, scale, softcap: None, places, format, queries, part }
    }

    /// `count` neighbouring rows of one sequence, from position `first` on.
    pub fn row_run(first: u32, count: u32) -> Vec<(u32, u32)> {
        (first..first + count).map(|position| (position, 0)).collect()
    }

    /// `count` rows of three sequences, each row at a place of its own.
    pub fn ragged(count: u32, context: u32) -> Vec<(u32, u32)> {
        (0..count).map(|i| (i * 37 % context, i % 3)).collect()
    }
}

/// A case's numbers on the device, and as the twins take them.
struct Made {
    rows: BufferId,
    q: Tensor,
    cache: Cache,
    out: Tensor,
    /// The keys that the furthest row sees.
    extent: u32,
    size: twin::AttentionSize,
    queries: Vec<f64>,
    keys: Vec<f64>,
    values: Vec<f64>,
}

impl Attend {
    fn make(&self, device: &mut Device) -> Result<Made> {
        let &Self { heads: [heads, kv_heads, width], context, window, scale, softcap, .. } = self;
        let sequences = 1 + self.places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
        let shape = ([sequences, context], [kv_heads, width]);
        let position = Cache::named(self.format, shape.0, shape.1, u64::MAX).position_bytes();
        let limit = position.saturating_mul(self.part as u64);
        let cache = Cache::named(self.format, shape.0, shape.1, limit);
        let [keys, values] = filled(device, &cache)?;
        let count = self.places.len();
        let queries = device.values(self.queries, count * heads * width);
        let size =
            twin::AttentionSize { heads, kv_heads, head_width: width, window, scale, softcap };
        Ok(Made {
            rows: device.places(&self.places)?,
            q: device.tensor(count, heads * width, &queries)?,
            cache,
            out: device.output(count, heads * width)?,
            extent: self.places.iter().map(|place| place.0 + 1).max().unwrap_or(1),
            size,
            queries: wide(&queries),
            keys,
            values,
        })
    }

    /// Between large scores f32 tells differences of about a thousandth only.
    fn tolerance(&self) -> f64 {
        if self.queries == Values::Large { 1e-3 } else { TOLERANCE }
    }
}

impl Made {
    /// One sequence's part of keys or values.
    fn sequence<'a>(&self, all: &'a [f64], sequence: u32) -> &'a [f64] {
        let length = self.cache.context * self.cache.heads * self.cache.width;
        &all[sequence as usize * length..][..length]
    }

    /// The queries of each row.
    fn by_row(&self) -> impl Iterator<Item = &[f64]> {
        self.queries.chunks(self.q.columns)
    }
}

impl Case for Attend {
    fn run(&self, device: &mut Device) -> Result<()> {
        let made = self.make(device)?;
        let &Made { rows, q, ref cache, out, extent, size, .. } = &made;
        let &Self { window, scale, softcap, .. } = self;
        let mask = Mask { window, scale, softcap };
        if !device.run(&Attention { rows, q, cache, mask, out }, extent)? {
            return Ok(());
        }
        let z = made.by_row().zip(&self.places).flat_map(|(q, &(position, sequence))| {
            let (keys, values) = (&made.keys, &made.values);
            let (keys, values) = (made.sequence(keys, sequence), made.sequence(values, sequence));
            twin::attention(q, keys, values, &[position], size)
        });
        device.expect_within(&out, z.collect(), self.tolerance())
    }
}

/// The same rows, step by step: scores, pattern, what the pattern mixes, and each row's own keys.
#[derive(Clone, Debug)]
pub struct Steps(pub Attend);

impl Case for Steps {
    fn run(&self, device: &mut Device) -> Result<()> {
        let Self(Attend { heads: [heads, _, width], context, places, .. }) = self;
        let &Attend { window, scale, softcap, .. } = &self.0;
        let (&heads, &context, count) = (heads, context, places.len());
        let made = self.0.make(device)?;
        let &Made { rows, q, ref cache, out, extent, size, .. } = &made;
        // A pattern is (H, T, S), and here every row has keys of its own: the twin sees one at a time.
        let by_row: Vec<Vec<f64>> = made
            .by_row()
            .zip(places)
            .map(|(q, &(at, s))| {
                twin::attention_scores(q, made.sequence(&made.keys, s), &[at], size)
            })
            .collect();
        let of_head = |head| by_row.iter().flat_map(move |row| &row[head * context..][..context]);
        let scores: Vec<f64> = (0..heads).flat_map(of_head).copied().collect();
        let step = device.output(heads * count, context)?;
        let mask = Mask { window, scale, softcap };
        if device.run(&AttentionScores { rows, q, cache, mask, out: step }, extent)? {
            expect_scores(device, &step, scores.clone(), self.0.tolerance())?;
        }
        let finite = |&x: &f64| if x.is_finite() { x as f32 } else { MASKED };
        let scores: Vec<f32> = scores.iter().map(finite).collect();
        let pattern = twin::softmax(&wide(&scores), context);
        let x = device.tensor(heads * count, context, &scores)?;
        if device.run(&Softmax { rows, x, heads, window, out: step }, extent)? {
            device.expect(&step, pattern.clone())?;
        }
        let narrow: Vec<f32> = pattern.iter().map(|&share| share as f32).collect();
        let pattern = device.tensor(heads * count, context, &narrow)?;
        if device.run(&AttentionMix { rows, pattern, cache, out }, extent)? {
            let z = places.iter().enumerate().flat_map(|(row, &(_, sequence))| {
                let of_head = |head| &narrow[(head * count + row) * context..][..context];
                let weights: Vec<f64> = (0..heads).flat_map(|head| wide(of_head(head))).collect();
                twin::attention_mix(&weights, made.sequence(&made.values, sequence), size)
            });
            device.expect(&out, z.collect())?;
        }
        let slot = cache.heads * width;
        let own = device.output(count, slot)?;
        if device.run(&CacheRows { rows, cache, out: own }, extent)? {
            let keys = places.iter().flat_map(|&(position, sequence)| {
                &made.sequence(&made.keys, sequence)[position as usize * slot..][..slot]
            });
            device.expect(&own, keys.copied().collect())?;
        }
        Ok(())
    }
}

/// Holds scores against the twin's, whose masked ones are −∞.
fn expect_scores(
    device: &mut Device,
    found: &Tensor,
    twin: Vec<f64>,
    tolerance: f64,
) -> Result<()> {
    let (stride, columns) = (found.stride(), found.columns);
    device.judge(found.buffer, found.bytes(), tolerance, move |bytes, _| {
        let stored: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        let rows = stored.chunks_exact(stride).flat_map(|row| &row[..columns]);
        let (found, seen): (Vec<f32>, Vec<f64>) =
            rows.zip(&twin).filter(|(_, twin)| twin.is_finite()).unzip();
        let rows = stored.chunks_exact(stride).flat_map(|row| &row[..columns]);
        let hidden = rows.zip(&twin).all(|(found, twin)| twin.is_finite() || *found == MASKED);
        let reason = if hidden { "" } else { "a masked score shows" };
        (if hidden { distance(&found, &seen) } else { f64::NAN }, reason.to_owned())
    })
}

/// Fills a cache with numbers: gives its keys and its values, without the padding of its heads.
pub(super) fn filled(device: &mut Device, cache: &Cache) -> Result<[Vec<f64>; 2]> {
    let slot = cache.heads * cache.width;
    let zeros = cache.width.next_multiple_of(4) - cache.width;
    let padding = || std::iter::repeat_n(f16::ZERO, zeros);
    let count = cache.sequences * cache.context * slot;
    let [keys, values] = [(); 2]
        .map(|()| -> Vec<f16> { device.noise(count).into_iter().map(f16::from_f32).collect() });
    for part in &cache.parts {
        for (id, all) in [(part.k, &keys), (part.v, &values)] {
            let rows = all.chunks(cache.context * slot).flat_map(|sequence| {
                (0..cache.heads).flat_map(move |head| {
                    let own = sequence.chunks(slot).skip(part.first).take(part.count);
                    own.map(move |row| &row[head * cache.width..][..cache.width])
                })
            });
            let halves: Vec<f16> =
                rows.flat_map(|row| row.iter().copied().chain(padding())).collect();
            match cache.format {
                CacheFormat::F16 => device.fill(id, bytemuck::cast_slice(&halves))?,
                CacheFormat::F32 => {
                    let floats: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
                    device.fill(id, bytemuck::cast_slice(&floats))?;
                }
            }
        }
    }
    Ok([keys, values].map(|all| all.iter().map(|half| half.to_f64()).collect()))
}

/// What each head writes to the residual stream, and their sum.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// How the output map is stored.
    pub format: Format,
    /// Rows.
    pub rows: usize,
    /// Heads, their width, and the width of the residual stream.
    pub shape: [usize; 3],
    /// Rows of the output map that a part holds at most; all without.
    pub part: Option<usize>,
}

impl Case for Heads {
    fn run(&self, device: &mut Device) -> Result<()> {
        let &Self { format, rows, shape: [heads, width, columns], part } = self;
        let noise = device.noise(columns * heads * width);
        let row = Weight::plane_bytes(format, heads * width)[0];
        let bytes = part.map_or(u64::MAX, |rows| (rows * row) as u64);
        let (weight, kept) = device.weight(format, [columns, heads * width], bytes, &noise)?;
        let values = device.noise(rows * heads * width);
        let z = device.tensor(rows, heads * width, &values)?;
        let out = device.output(rows, heads * columns)?;
        if device.run(&AttentionResult { z, weight: &weight, heads, out }, 0)? {
            device.expect(&out, twin::attention_result(&wide(&values), &kept, heads, columns))?;
        }
        let (results, biases) = (device.noise(rows * heads * columns), device.noise(columns));
        let x = device.tensor(rows, heads * columns, &results)?;
        let out = device.output(rows, columns)?;
        for bias in [None, Some(device.tensor(1, columns, &biases)?)] {
            if device.run(&SumHeads { x, heads, bias, out }, 0)? {
                let bias = bias.map(|_| &biases[..]);
                device.expect(&out, twin::sum_heads(&wide(&results), bias, heads, columns))?;
            }
        }
        Ok(())
    }
}
