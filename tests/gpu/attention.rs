//! Attention over the cache: split for few rows, whole for many, and in steps.

use half::f16;
use pellucid::ops::{
    Attention, AttentionMix, AttentionScores, Cache, CacheFormat, Fetch, Reduce, Softmax,
};
use pellucid::reference as twin;

use crate::common::{Device, TOLERANCE, Values, wide};

/// Some rows of some sequences.
#[derive(Clone, Debug)]
struct Case {
    heads: usize,
    kv_heads: usize,
    width: usize,
    context: usize,
    window: Option<usize>,
    scale: f64,
    softcap: Option<f64>,
    /// Position and sequence of each row.
    places: Vec<(u32, u32)>,
    format: CacheFormat,
    queries: Values,
    /// The most positions of a part of the cache.
    part: usize,
}

/// `count` neighbouring rows of one sequence, from position `first` on.
fn run(first: u32, count: u32) -> Vec<(u32, u32)> {
    (first..first + count).map(|position| (position, 0)).collect()
}

/// `count` rows of three sequences, each row at a place of its own.
fn ragged(count: u32, context: u32) -> Vec<(u32, u32)> {
    (0..count).map(|i| (i * 37 % context, i % 3)).collect()
}

impl Case {
    fn new(heads: [usize; 3], context: usize, places: Vec<(u32, u32)>) -> Self {
        let [heads, kv_heads, width] = heads;
        Self {
            heads,
            kv_heads,
            width,
            context,
            window: None,
            scale: 1.0 / (width as f64).sqrt(),
            softcap: None,
            places,
            format: CacheFormat::F32,
            queries: Values::Plain,
            part: usize::MAX,
        }
    }
}

fn check(device: &mut Device, case: &Case) {
    let &Case { heads, kv_heads, width, context, window, scale, softcap, .. } = case;
    let sequences = 1 + case.places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
    let (cache, keys, values) = cached(device, case, sequences);
    let cache = &cache;
    let count = case.places.len();
    let queries = device.values(case.queries, count * heads * width);
    let q = device.tensor(count, heads * width, &queries);
    let rows: Vec<_> = case.places.iter().map(|&(p, sequence)| (0, p, sequence)).collect();
    let rows = device.rows(&rows);
    let out = device.output(count, heads * width);
    let extent = case.places.iter().map(|place| place.0 + 1).max().unwrap_or(1);
    device.run(Attention { rows, q, cache, window, scale, softcap, out }, extent);

    let size = twin::AttentionSize { heads, kv_heads, head_width: width, window, scale, softcap };
    let (queries, keys, values) = (wide(&queries), wide(&keys), wide(&values));
    let sequence_len = context * kv_heads * width;
    let expected: Vec<f64> = queries
        .chunks(heads * width)
        .zip(&case.places)
        .flat_map(|(q, &(position, sequence))| {
            let of = |all: &[f64]| all[sequence as usize * sequence_len..][..sequence_len].to_vec();
            twin::attention(q, &of(&keys), &of(&values), &[position], size)
        })
        .collect();
    let op = match device.choices.attention {
        _ if count <= sequences.max(8) => "attention_split",
        Fetch::Direct => "attention",
        Fetch::Tiled => "attention_tiled",
    };
    let found = device.read(&out);
    // Between large scores f32 tells differences of about a thousandth only.
    let tolerance = if matches!(case.queries, Values::Large) { 1e-3 } else { TOLERANCE };
    let choices = &device.choices;
    let variant = (choices.reduce, choices.chunk, choices.attention);
    device.compare(op, &(case, variant), &found, &expected, tolerance);

    // The same in steps that write scores and pattern out.
    let pattern = |device: &mut Device| device.output(heads * count, extent as usize);
    let (scores, weights) = (pattern(device), pattern(device));
    device.run(AttentionScores { rows, q, cache, window, scale, softcap, out: scores }, 0);
    device.run(Softmax { rows, x: scores, heads, window, out: weights }, 0);
    let out = device.output(count, heads * width);
    device.run(AttentionMix { rows, pattern: weights, cache, out }, 0);
    let found = device.read(&out);
    device.compare("attention_mix", case, &found, &expected, tolerance);
}

/// A cache full of numbers, and its keys and values without the padding of its heads.
fn cached(device: &mut Device, case: &Case, sequences: usize) -> (Cache, Vec<f32>, Vec<f32>) {
    let &Case { kv_heads, width, context, format, part, .. } = case;
    let shape = ([sequences, context], [kv_heads, width]);
    let position = Cache::named(format, shape.0, shape.1, u64::MAX).position_bytes();
    let cache = Cache::named(format, shape.0, shape.1, position.saturating_mul(part as u64));
    let slot = kv_heads * width;
    let noise = |device: &mut Device| -> Vec<f32> {
        let noise = device.noise(sequences * context * slot);
        noise.into_iter().map(|x| f16::from_f32(x).to_f32()).collect()
    };
    let (keys, values) = (noise(device), noise(device));
    for part in &cache.parts {
        for (id, all) in [(part.k, &keys), (part.v, &values)] {
            let stretches = all.chunks(context * slot);
            let own = stretches.flat_map(|all| &all[part.first * slot..][..part.count * slot]);
            let own: Vec<f32> = own.copied().collect();
            let zeros = width.next_multiple_of(4) - width;
            let padded: Vec<f32> = own
                .chunks(width)
                .flat_map(|head| head.iter().copied().chain(std::iter::repeat_n(0.0, zeros)))
                .collect();
            let halves: Vec<f16> = padded.iter().map(|x| f16::from_f32(*x)).collect();
            let bytes: &[u8] = match format {
                CacheFormat::F16 => bytemuck::cast_slice(&halves),
                CacheFormat::F32 => bytemuck::cast_slice(&padded),
            };
            device.engine.create(id, cache.part_bytes(part)).unwrap();
            device.engine.write(id, 0, bytes).unwrap();
        }
    }
    (cache, keys, values)
}

/// Both ways to attend with many rows.
const FETCHES: [Fetch; 2] = [Fetch::Direct, Fetch::Tiled];

#[test]
fn head_widths_and_sharing() {
    let mut device = Device::open();
    let mut reductions = device.reductions().into_iter().cycle();
    for (heads, kv_heads, width) in
        [(1, 1, 7), (4, 2, 16), (3, 1, 20), (9, 3, 64), (2, 2, 80), (8, 1, 128), (2, 1, 255)]
    {
        for format in [CacheFormat::F32, CacheFormat::F16] {
            device.choices.reduce = reductions.next().unwrap_or(device.choices.reduce);
            for rows in [1, 3, 8] {
                let case = Case::new([heads, kv_heads, width], 70, ragged(rows, 70));
                check(&mut device, &Case { format, ..case });
            }
            for attention in FETCHES {
                device.choices.attention = attention;
                for places in [ragged(9, 70), ragged(40, 70), run(31, 39)] {
                    let case = Case::new([heads, kv_heads, width], 70, places);
                    check(&mut device, &Case { format, ..case });
                }
            }
        }
    }
}

#[test]
fn every_reduction() {
    let mut device = Device::open();
    let reductions: Vec<Reduce> = device.reductions();
    for reduce in reductions {
        device.choices.reduce = reduce;
        // Group sizes that fit one workgroup together, and one that does not.
        for heads in [[2, 2, 20], [6, 2, 20], [32, 1, 128]] {
            for chunk in [4, 64, 256] {
                device.choices.chunk = chunk;
                check(&mut device, &Case::new(heads, 130, run(124, 4)));
            }
        }
    }
}

#[test]
fn windows_and_long_contexts() {
    let mut device = Device::open();
    for context in [1, 63, 64, 65, 300] {
        for window in [None, Some(1), Some(5), Some(64), Some(1000)] {
            let last = context as u32 - 1;
            for places in
                [vec![(last, 0)], vec![(last, 0), (0, 1), (last / 2, 2)], run(0, context as u32)]
            {
                for attention in FETCHES {
                    device.choices.attention = attention;
                    let case = Case::new([4, 2, 20], context, places.clone());
                    check(&mut device, &Case { window, ..case });
                }
            }
        }
    }
}

#[test]
fn hostile_queries() {
    let mut device = Device::open();
    for queries in Values::ALL {
        for places in [run(99, 1), run(88, 12)] {
            for attention in FETCHES {
                device.choices.attention = attention;
                let case = Case::new([4, 2, 64], 100, places.clone());
                check(&mut device, &Case { queries, ..case });
            }
        }
    }
}

/// Caps that bend hardly anything, everything, and scores so large that only the cap remains.
#[test]
fn soft_caps_and_other_scales() {
    let mut device = Device::open();
    let (plain, large) = (Values::Plain, Values::Large);
    let bends = [(50.0, plain), (0.5, plain), (0.01, plain), (30.0, large)];
    for (softcap, queries) in bends {
        for places in [run(99, 1), run(60, 20), ragged(9, 70)] {
            for attention in FETCHES {
                device.choices.attention = attention;
                let case = Case::new([4, 2, 20], 100, places.clone());
                check(&mut device, &Case { scale: 0.7, softcap: Some(softcap), queries, ..case });
            }
        }
    }
}

/// Parts so short that windows and tiles straddle them, and one long enough for a whole chunk.
#[test]
fn caches_in_parts() {
    let mut device = Device::open();
    for (part, context) in [(4, 70), (17, 70), (300, 600)] {
        for window in [None, Some(3), Some(50)] {
            for format in [CacheFormat::F32, CacheFormat::F16] {
                let last = context as u32 - 1;
                for places in
                    [vec![(last, 0)], ragged(3, last), ragged(40, last), run(last - 34, 34)]
                {
                    for attention in FETCHES {
                        device.choices.attention = attention;
                        let case = Case::new([6, 2, 10], context, places.clone());
                        check(&mut device, &Case { part, window, format, ..case });
                    }
                }
            }
        }
    }
}

/// Rows of as many sequences: each has keys of its own, so they are split as those of few rows.
#[test]
fn batches_of_sequences() {
    let mut device = Device::open();
    let places: Vec<_> = (0..20).map(|i| (i * 7 % 30, i)).collect();
    check(&mut device, &Case::new([4, 2, 20], 30, places));
}
