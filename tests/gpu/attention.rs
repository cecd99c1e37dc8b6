//! Attention over the cache: split for few rows, whole for many, and in steps.

use half::f16;
use pellucid::gpu::BufferId;
use pellucid::ops::{
    Attention, AttentionMix, AttentionScores, Cache, CacheFormat, Reduce, Softmax,
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
        }
    }
}

fn check(device: &mut Device, case: &Case) {
    let &Case { heads, kv_heads, width, context, window, scale, softcap, format, .. } = case;
    let sequences = 1 + case.places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
    let slots = sequences * context * kv_heads;
    let (k, keys) = cached(device, slots, width, format);
    let (v, values) = cached(device, slots, width, format);
    let cache = Cache { k, v, format, sequences, context, heads: kv_heads, width };
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
    let op = if count <= 8 { "attention_split" } else { "attention" };
    let found = device.read(&out);
    // Between large scores f32 tells differences of about a thousandth only.
    let tolerance = if matches!(case.queries, Values::Large) { 1e-3 } else { TOLERANCE };
    let variant = (device.choices.reduce, device.choices.chunk);
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

/// A cache full of numbers: its buffer, and what it holds without the padding of its heads.
fn cached(
    device: &mut Device,
    slots: usize,
    width: usize,
    format: CacheFormat,
) -> (BufferId, Vec<f32>) {
    let halves: Vec<f16> = device.noise(slots * width).into_iter().map(f16::from_f32).collect();
    let padded: Vec<f16> = halves
        .chunks(width)
        .flat_map(|head| {
            let zeros = width.next_multiple_of(4) - width;
            head.iter().copied().chain(std::iter::repeat_n(f16::ZERO, zeros))
        })
        .collect();
    let values: Vec<f32> = halves.into_iter().map(f16::to_f32).collect();
    let buffer = match format {
        CacheFormat::F16 => device.words(&padded),
        CacheFormat::F32 => device.words(&padded.into_iter().map(f16::to_f32).collect::<Vec<_>>()),
    };
    (buffer, values)
}

#[test]
fn head_widths_and_sharing() {
    let mut device = Device::open();
    let mut reductions = device.reductions().into_iter().cycle();
    for (heads, kv_heads, width) in
        [(1, 1, 7), (4, 2, 16), (3, 1, 20), (9, 3, 64), (2, 2, 80), (8, 1, 128)]
    {
        for format in [CacheFormat::F32, CacheFormat::F16] {
            device.choices.reduce = reductions.next().unwrap_or(device.choices.reduce);
            for rows in [1, 3, 8, 9, 40] {
                let places = ragged(rows, 70);
                let case = Case::new([heads, kv_heads, width], 70, places);
                check(&mut device, &Case { format, ..case });
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
                let case = Case::new([4, 2, 20], context, places);
                check(&mut device, &Case { window, ..case });
            }
        }
    }
}

#[test]
fn hostile_queries() {
    let mut device = Device::open();
    for queries in Values::ALL {
        for places in [run(99, 1), run(88, 12)] {
            let case = Case::new([4, 2, 64], 100, places);
            check(&mut device, &Case { queries, ..case });
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
            let case = Case::new([4, 2, 20], 100, places);
            check(&mut device, &Case { scale: 0.7, softcap: Some(softcap), queries, ..case });
        }
    }
}
