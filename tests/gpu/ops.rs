//! The ops over rows and heads, each over a table of shapes, kinds of values and variants.

use half::f16;
use pellucid::config::{Nonlinearity, Rotation};
use pellucid::names::Format;
use pellucid::ops::{
    Activate, Add, Cache, CacheFormat, CachePart, CacheRows, Columns, Embed, Gated, Gather,
    HeadNorm, LayerNorm, LogProb, RmsNorm, Rope, rope_table,
};
use pellucid::reference as twin;

use crate::common::{Device, JUNK, TOLERANCE, Values, wide};

/// Rows and columns: one value, odd, less and more than a workgroup, large.
const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 768), (3, 7), (5, 100), (2, 257), (7, 2050)];

#[test]
fn embed() {
    let mut device = Device::open();
    for format in Format::ALL {
        for (vocab, columns) in [(9, 32), (37, 96), (50, 768), (37, 7), (37, 100), (18, 512)] {
            if columns % format.block() != 0 {
                continue;
            }
            let values = device.noise(vocab * columns);
            let ids = [0, 1, vocab as u32 - 1, 7, 8, 1];
            let positions = [0, 3, 11, 5, 0, 1];
            let rows: Vec<_> = ids.iter().zip(positions).map(|(&id, p)| (id, p, 0)).collect();
            let rows = device.rows(&rows);
            let learned = device.noise(12 * columns);
            let table_of_positions = device.tensor(12, columns, &learned);
            // In one part, and in parts of eight rows.
            for max_binding in [u64::MAX, 8 * 4 * columns as u64] {
                let (table, kept) = device.weight(format, [vocab, columns], max_binding, &values);
                let tokens = twin::embed(&ids, &kept, columns);
                let places = twin::embed(&positions, &learned, columns);
                let sum: Vec<f64> = tokens.iter().zip(places).map(|(a, b)| a + b).collect();
                for (positions, expected) in [(None, tokens), (Some(table_of_positions), sum)] {
                    let out = device.output(ids.len(), columns);
                    let case = (format, vocab, columns, max_binding, positions.is_some());
                    device.run(Embed { rows, table: &table, scale: None, positions, out }, 0);
                    device.check("embed", &case, &out, &expected);
                    if positions.is_none() {
                        let scale = Some(7.75);
                        device.run(Embed { rows, table: &table, scale, positions, out }, 0);
                        let scaled: Vec<f64> = expected.iter().map(|x| 7.75 * x).collect();
                        device.check("embed", &(case, scale), &out, &scaled);
                    }
                }
            }
        }
    }
}

#[test]
fn norms() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        for (rows, columns) in SHAPES {
            for kind in Values::ALL {
                let case = (reduce, rows, columns, kind);
                let values = device.values(kind, rows * columns);
                let (gain, bias) = (device.noise(columns), device.noise(columns));
                let (wide_values, ones) = (wide(&values), vec![1.0; columns]);
                let zeros = vec![0.0; columns];
                let x = device.tensor(rows, columns, &values);
                let gain_on_device = device.tensor(1, columns, &gain);
                let affine = (gain_on_device, device.tensor(1, columns, &bias));
                let out = device.output(rows, columns);

                device.run(LayerNorm { x, affine: Some(affine), eps: 1e-5, out }, 0);
                let expected = twin::layer_norm(&wide_values, &gain, &bias, 1e-5);
                device.check("layer_norm", &case, &out, &expected);
                device.run(LayerNorm { x, affine: None, eps: 1e-5, out }, 0);
                let expected = twin::layer_norm(&wide_values, &ones, &zeros, 1e-5);
                device.check("layer_norm", &case, &out, &expected);

                device.run(RmsNorm { x, gain: Some(gain_on_device), eps: 1e-6, out }, 0);
                let expected = twin::rms_norm(&wide_values, &gain, 1e-6);
                device.check("rms_norm", &case, &out, &expected);
                device.run(RmsNorm { x, gain: None, eps: 1e-6, out }, 0);
                let expected = twin::rms_norm(&wide_values, &ones, 1e-6);
                device.check("rms_norm", &case, &out, &expected);
            }
        }
    }
}

#[test]
fn log_prob() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        for (rows, vocab) in SHAPES.into_iter().chain([(3, 50_257)]) {
            for kind in Values::ALL {
                let values = device.values(kind, rows * vocab);
                let targets: Vec<u32> = (0..rows).map(|row| (row * 31 % vocab) as u32).collect();
                let logits = device.tensor(rows, vocab, &values);
                let (ids, out) = (device.words(&targets), device.words(&vec![JUNK; rows]));
                device.run(LogProb { logits, targets: ids, out }, 0);
                let found = device.read_words(out, rows);
                let expected = twin::log_prob(&wide(&values), &targets);
                device.compare(
                    "log_prob",
                    &(reduce, rows, vocab, kind),
                    &found,
                    &expected,
                    TOLERANCE,
                );
            }
        }
    }
}

#[test]
fn head_norm() {
    let mut device = Device::open();
    for (rows, queries, keys, width) in
        [(1, 1, 1, 7), (5, 4, 2, 64), (3, 70, 10, 20), (2, 9, 3, 128)]
    {
        for kind in Values::ALL {
            let (heads, before, after) = (queries + keys, 3, 2 * width);
            let columns = before + heads * width + after;
            let values = device.values(kind, rows * columns);
            let gain = device.noise(2 * width);
            let x = device.tensor(rows, columns, &values);
            let gains = device.tensor(2, width, &gain);
            let range = Columns::range(x, before, heads * width);
            device.run(HeadNorm { x: range, queries, gains, eps: 1e-6 }, 0);
            let mut expected = wide(&values);
            for row in expected.chunks_mut(columns) {
                let normed = &mut row[before..before + heads * width];
                for (head, values) in normed.chunks_mut(width).enumerate() {
                    let gain = if head < queries { &gain[..width] } else { &gain[width..] };
                    values.copy_from_slice(&twin::rms_norm(values, gain, 1e-6));
                }
            }
            device.check("head_norm", &(rows, queries, keys, width, kind), &x, &expected);
        }
    }
}

/// Heads, of which the first `rotated` values turn, at some places of some sequences.
#[derive(Debug)]
struct Turn {
    heads: usize,
    kv_heads: usize,
    width: usize,
    rotated: usize,
    amplitude: f64,
    context: usize,
    /// Position and sequence of each row.
    places: &'static [(u32, u32)],
}

const FAR: &[(u32, u32)] = &[(0, 0), (255, 0), (256, 0), (65_537, 0), (130_815, 0), (131_071, 0)];
const RAGGED: &[(u32, u32)] = &[(4, 1), (0, 0), (5, 1), (19, 2), (1, 0), (7, 2), (0, 1)];

const TURNS: [Turn; 7] = [
    Turn {
        heads: 2,
        kv_heads: 1,
        width: 8,
        rotated: 8,
        amplitude: 1.0,
        context: 131_072,
        places: FAR,
    },
    Turn {
        heads: 1,
        kv_heads: 1,
        width: 16,
        rotated: 6,
        amplitude: 1.0,
        context: 131_072,
        places: FAR,
    },
    Turn {
        heads: 9,
        kv_heads: 3,
        width: 64,
        rotated: 64,
        amplitude: 1.0,
        context: 20,
        places: RAGGED,
    },
    Turn {
        heads: 4,
        kv_heads: 4,
        width: 128,
        rotated: 32,
        amplitude: 1.25,
        context: 20,
        places: RAGGED,
    },
    Turn {
        heads: 3,
        kv_heads: 1,
        width: 7,
        rotated: 0,
        amplitude: 1.0,
        context: 20,
        places: RAGGED,
    },
    Turn {
        heads: 5,
        kv_heads: 5,
        width: 10,
        rotated: 10,
        amplitude: 1.0,
        context: 20,
        places: RAGGED,
    },
    Turn {
        heads: 1,
        kv_heads: 1,
        width: 80,
        rotated: 80,
        amplitude: 1.0,
        context: 1,
        places: &[(0, 0)],
    },
];

#[test]
fn rope() {
    let mut device = Device::open();
    for case in &TURNS {
        for format in [CacheFormat::F32, CacheFormat::F16] {
            turn(&mut device, case, format, 1);
            turn(&mut device, case, format, 3);
        }
    }
}

/// The binding limit allows about one `parts`-th of the cache.
fn turn(device: &mut Device, case: &Turn, format: CacheFormat, parts: u64) {
    let &Turn { heads, kv_heads, width, rotated, amplitude, context, places } = case;
    let count = places.len();
    let (q_width, kv_width) = (heads * width, kv_heads * width);
    let sequences = 1 + places.iter().map(|place| place.1).max().unwrap_or(0) as usize;
    let shape = ([sequences, context], [kv_heads, width]);
    let bytes = Cache::named(format, shape.0, shape.1, u64::MAX).bytes();
    let cache = Cache::named(format, shape.0, shape.1, bytes / parts);
    for part in &cache.parts {
        for id in [part.k, part.v] {
            device.engine.create(id, cache.part_bytes(part)).unwrap();
        }
    }
    let frequency = |i| 1e4_f64.powf(-2.0 * f64::from(i) / rotated as f64);
    let frequencies = (0..rotated as u32 / 2).map(frequency).collect();
    let rotation = Rotation { frequencies, amplitude };
    let table = (rotated > 0).then(|| (device.words(&rope_table(&rotation, context)), rotated));
    let rows: Vec<_> = places.iter().map(|&(position, sequence)| (0, position, sequence)).collect();
    let rows = device.rows(&rows);
    // Queries and keys side by side, values in a tensor of their own.
    let columns = q_width + kv_width;
    let joined = device.noise(count * columns);
    let values = device.noise(count * kv_width);
    let qk = device.tensor(count, columns, &joined);
    let v = Columns::all(device.tensor(count, kv_width, &values));
    let q = Columns::range(qk, 0, q_width);
    let k = Columns::range(qk, q_width, kv_width);
    let out = device.output(count, q_width);
    device.run(Rope { rows, q, k, v, table, cache: &cache, out }, 0);

    let positions: Vec<u32> = places.iter().map(|place| place.0).collect();
    let part = |start, width| -> Vec<f64> {
        joined.chunks(columns).flat_map(|row| wide(&row[start..start + width])).collect()
    };
    let turned = |values: &[f64], heads| {
        twin::rope(values, &positions, &rotation, twin::RopeSize { heads, head_width: width })
    };
    device.check("rope", &case, &out, &turned(&part(0, q_width), heads));
    let keys = turned(&part(q_width, kv_width), kv_heads);
    let halves = matches!(format, CacheFormat::F16);
    let own = device.output(count, kv_width);
    device.run(CacheRows { rows, cache: &cache, out: own }, 0);
    let own = device.read(&own);
    device.compare("cache_rows", &case, &own, &keys, if halves { 1e-3 } else { TOLERANCE });
    let values = wide(&values);
    let sides = cache.parts.iter().flat_map(|p| [(p, p.k, &keys), (p, p.v, &values)]);
    for (part, id, values) in sides {
        let expected = laid_out(&cache, part, places, values);
        match format {
            CacheFormat::F32 => {
                let found = device.read_words(id, expected.len());
                device.compare("rope, cache f32", &case, &found, &expected, TOLERANCE);
            }
            CacheFormat::F16 => {
                // WGSL leaves open which way a half is rounded.
                for (found, expected) in device.read_words(id, expected.len()).iter().zip(expected)
                {
                    let gap = (f16::to_f64(*found) - expected).abs();
                    assert!(
                        gap <= expected.abs() / 1000.0 + 6e-8,
                        "{found} is not {expected}: {case:?}"
                    );
                }
            }
        }
    }
}

/// A part of a cache that was zero until these rows were written; heads are padded to fours.
fn laid_out(cache: &Cache, part: &CachePart, places: &[(u32, u32)], values: &[f64]) -> Vec<f64> {
    let padded = cache.width.next_multiple_of(4);
    let slot = cache.heads * padded;
    let mut all = vec![0.0; cache.sequences * part.count * slot];
    for (&(position, sequence), row) in places.iter().zip(values.chunks(cache.heads * cache.width))
    {
        let Some(place) = (position as usize).checked_sub(part.first) else { continue };
        if place >= part.count {
            continue;
        }
        let at = (sequence as usize * part.count + place) * slot;
        for (to, head) in all[at..].chunks_mut(padded).zip(row.chunks(cache.width)) {
            to[..cache.width].copy_from_slice(head);
        }
    }
    all
}

#[test]
fn gather_and_add() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        let case = (rows, columns);
        let values = device.noise(rows * columns);
        let x = device.tensor(rows, columns, &values);
        let picked = |index: &[u32], start: usize, count: usize, step: usize| -> Vec<f64> {
            let row = |&i: &u32| wide(&values[i as usize * columns..][..columns]);
            index
                .iter()
                .flat_map(|i| row(i).into_iter().skip(start).step_by(step).take(count))
                .collect()
        };
        let all: Vec<u32> = (0..rows as u32).collect();
        let some: Vec<u32> = all.iter().rev().chain(&[0]).copied().collect();
        let index = device.words(&some);
        for (start, count, step) in
            [(0, columns, 1), (columns / 2, columns - columns / 2, 1), (0, columns.div_ceil(2), 2)]
        {
            let x = Columns { of: x, start, count, step };
            let out = device.output(rows, count);
            device.run(Gather { x, index: None, out }, 0);
            device.check("gather", &case, &out, &picked(&all, start, count, step));
            let out = device.output(some.len(), count);
            device.run(Gather { x, index: Some(index), out }, 0);
            device.check("gather", &case, &out, &picked(&some, start, count, step));
        }

        let before = device.noise(rows * columns);
        let out = device.tensor(rows, columns, &before);
        device.run(Add { x, out }, 0);
        let expected: Vec<f64> =
            wide(&before).iter().zip(wide(&values)).map(|(a, b)| a + b).collect();
        device.check("add", &case, &out, &expected);
    }
}

#[test]
fn activations() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES.into_iter().chain([(40, 1100)]) {
        // Scale and offset: both sides of zero, the left tail alone, where 1 + tanh cancels.
        for (scale, offset) in [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-3, 0.0), (1e-30, 0.0)] {
            let case = (rows, columns, scale, offset);
            let shifted = |x: f32| x * scale + offset;
            let values: Vec<f32> = device.noise(rows * columns).into_iter().map(shifted).collect();
            let x = device.tensor(rows, columns, &values);
            let out = device.output(rows, columns);
            let ups = device.noise(rows * columns);
            let up = Columns::all(device.tensor(rows, columns, &ups));
            // Gate and up in turn, as their joined map leaves them.
            let both: Vec<f32> = values.iter().zip(&ups).flat_map(|(g, u)| [*g, *u]).collect();
            let both = device.tensor(rows, 2 * columns, &both);
            let gate = Columns { of: both, start: 0, count: columns, step: 2 };
            for function in [Nonlinearity::GeluTanh, Nonlinearity::Gelu, Nonlinearity::Silu] {
                let case = (case, function);
                device.run(Activate { x, function, out }, 0);
                let expected = twin::activate(&wide(&values), function);
                device.check("activate", &case, &out, &expected);
                device.run(Gated { gate: Columns::all(x), up, function, out }, 0);
                let expected = twin::gated(&wide(&values), &wide(&ups), function);
                device.check("gated", &case, &out, &expected);
                let out = device.output(rows, columns);
                device.run(Gated { gate, up: Columns { start: 1, ..gate }, function, out }, 0);
                device.check("gated", &case, &out, &expected);
            }
        }
    }
}
