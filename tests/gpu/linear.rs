//! Linear maps: few rows and many, every format, every store, whole and in parts.

use pellucid::config::Nonlinearity;
use pellucid::names::Format;
use pellucid::ops::{
    AttentionResult, Cache, CacheFormat, CachePart, Linear, Matmul, Store, Weight,
};
use pellucid::reference as twin;

use crate::common::{Device, Values, wide};

const STORES: [Store; 8] = [
    Store::Write,
    Store::Add,
    Store::Apply(Nonlinearity::GeluTanh),
    Store::Gated(Nonlinearity::Silu),
    Store::SoftCap(1.5),
    Store::Gated(Nonlinearity::GeluTanh),
    Store::Apply(Nonlinearity::Gelu),
    Store::Apply(Nonlinearity::Silu),
];

/// One product.
#[derive(Clone, Copy, Debug)]
struct Case {
    format: Format,
    rows: usize,
    /// Outputs and inputs.
    shape: [usize; 2],
    store: Store<'static>,
    biased: bool,
    /// Rows of the weight that a part holds at most; all without.
    part: Option<usize>,
    values: Values,
}

impl Case {
    fn plain(format: Format, rows: usize, shape: [usize; 2]) -> Self {
        let (store, values) = (Store::Write, Values::Plain);
        Self { format, rows, shape, store, biased: false, part: None, values }
    }

    /// The same with the `i`-th combination of store and bias.
    fn stored(self, i: usize) -> Self {
        Self { store: STORES[i % 8], biased: (i + i / 8) % 2 == 1, ..self }
    }
}

/// Outputs and inputs that a format can hold: odd where it can, and not multiples of a tile.
fn shapes(format: Format) -> [[usize; 2]; 3] {
    match format.block() {
        1 => [[2, 7], [34, 20], [250, 516]],
        32 => [[2, 32], [34, 96], [250, 544]],
        block => [[2, block], [34, 3 * block], [250, 2 * block]],
    }
}

fn check(device: &mut Device, case: Case) {
    let [outputs, inputs] = case.shape;
    let values = device.noise(outputs * inputs);
    let bytes = case
        .part
        .map_or(u64::MAX, |rows| (rows * Weight::plane_bytes(case.format, inputs)[0]) as u64);
    let (weight, kept) = device.weight(case.format, case.shape, bytes, &values);
    product(device, case, &weight, &kept);
}

fn product(device: &mut Device, case: Case, weight: &Weight, kept: &[f32]) {
    let [outputs, inputs] = case.shape;
    let values = device.values(case.values, case.rows * inputs);
    let biases = device.noise(outputs);
    let columns = if matches!(case.store, Store::Gated(_)) { outputs / 2 } else { outputs };
    let before = device.noise(case.rows * columns);
    let x = device.tensor(case.rows, inputs, &values);
    let bias = case.biased.then(|| device.tensor(1, outputs, &biases));
    let out = device.tensor(case.rows, columns, &before);
    device.run(Linear { x, weight, bias, store: case.store, out }, 0);

    let size = twin::MatmulSize { inputs, outputs };
    let y = twin::matmul(&wide(&values), kept, case.biased.then_some(&biases[..]), size);
    let expected: Vec<f64> = match case.store {
        Store::Write => y,
        Store::Add => y.iter().zip(wide(&before)).map(|(y, before)| y + before).collect(),
        Store::Apply(function) => twin::activate(&y, function),
        Store::SoftCap(cap) => twin::softcap(&y, cap),
        Store::Gated(function) => {
            y.chunks(2).flat_map(|pair| twin::gated(&pair[..1], &pair[1..], function)).collect()
        }
        Store::Cache { .. } => unreachable!("the cache has a test of its own"),
    };
    let op = if case.rows <= 8 { "matvec" } else { "matmul" };
    let (lanes, tile) = (device.choices.lanes, device.choices.matmul);
    device.check(op, &(case, lanes, tile), &out, &expected);
}

#[test]
fn matvec() {
    let mut device = Device::open();
    for (number, lanes) in device.lanes().into_iter().enumerate() {
        device.choices.lanes = lanes;
        let counts: &[usize] = if number == 0 { &[1, 2, 5, 8] } else { &[1, 5] };
        for (i, format) in Format::ALL.into_iter().enumerate() {
            for (j, &rows) in counts.iter().enumerate() {
                for shape in shapes(format) {
                    check(&mut device, Case::plain(format, rows, shape).stored(i + j));
                }
            }
            let part = Some(8);
            check(
                &mut device,
                Case { part, ..Case::plain(format, 1, shapes(format)[1]).stored(i) },
            );
        }
    }
}

#[test]
fn matmul() {
    let mut device = Device::open();
    let direct = |n, t| Matmul::Direct { n, t };
    let tiles = [direct(8, 8), direct(8, 1), direct(2, 16), Matmul::Tiled];
    for (i, &tile) in tiles.iter().enumerate() {
        device.choices.matmul = tile;
        for (j, format) in Format::ALL.into_iter().enumerate() {
            let [small, middle, large] = shapes(format);
            for case in [
                Case::plain(format, 9, small),
                Case::plain(format, 130, middle),
                Case { part: Some(16), ..Case::plain(format, 33, middle) },
                Case::plain(format, 33, large),
            ] {
                check(&mut device, case.stored(i + j));
            }
        }
    }
}

#[test]
fn every_store() {
    let mut device = Device::open();
    for i in 0..16 {
        for rows in [2, 17] {
            check(&mut device, Case::plain(Format::F32, rows, [74, 30]).stored(i));
            let part = Some(24);
            check(
                &mut device,
                Case { part, ..Case::plain(Format::Q8_0, rows, [74, 64]).stored(i) },
            );
        }
    }
}

#[test]
fn hostile_values() {
    let mut device = Device::open();
    for format in Format::ALL {
        let shape = [50, format.block().max(128)];
        for values in Values::ALL {
            for rows in [1, 12] {
                check(&mut device, Case { values, ..Case::plain(format, rows, shape) });
            }
        }
        // Halves below 6.1e-5, as values or as scales, are subnormal.
        let subnormal: Vec<f32> = device.noise(50 * shape[1]).iter().map(|x| x * 5e-5).collect();
        let (weight, kept) = device.weight(format, shape, u64::MAX, &subnormal);
        assert!(kept.iter().any(|value| *value != 0.0), "{format} keeps something");
        for rows in [1, 12] {
            product(&mut device, Case::plain(format, rows, shape), &weight, &kept);
        }
    }
}

/// Heads whose columns begin and end within a word of the output map.
#[test]
fn attention_result() {
    let mut device = Device::open();
    for format in Format::ALL {
        for (rows, outputs, heads, inputs) in [(1, 7, 4, 256), (3, 70, 8, 512), (5, 18, 64, 768)] {
            let values = device.noise(outputs * inputs);
            for part in [u64::MAX, 8 * 4 * inputs as u64] {
                let (weight, kept) = device.weight(format, [outputs, inputs], part, &values);
                let z = device.noise(rows * inputs);
                let x = device.tensor(rows, inputs, &z);
                let out = device.output(rows, heads * outputs);
                device.run(AttentionResult { z: x, weight: &weight, heads, out }, 0);
                let expected = twin::attention_result(&wide(&z), &kept, heads, outputs);
                let case = (format, rows, outputs, heads, inputs);
                device.check("attention_result", &case, &out, &expected);
            }
        }
    }
}

/// Queries come out; keys and values land in the cache at each row's place, and nowhere else.
#[test]
fn keys_and_values_go_straight_into_the_cache() {
    let mut device = Device::open();
    let (heads, kv_heads, width, context) = (3, 2, 12, 5);
    let (queries, keys) = (heads * width, kv_heads * width);
    let shape = [queries + 2 * keys, 20];
    for places in [vec![(0, 3, 1)], (0..9).map(|i| (0, i % 5, i / 5)).collect::<Vec<_>>()] {
        let noise = device.noise(shape[0] * shape[1]);
        let (weight, kept) = device.weight(Format::F32, shape, u64::MAX, &noise);
        let (values, biases) = (device.noise(places.len() * 20), device.noise(shape[0]));
        let x = device.tensor(places.len(), 20, &values);
        let bias = Some(device.tensor(1, shape[0], &biases));
        let rows = device.rows(&places);
        let before = vec![7.0; 2 * context * keys];
        let cache = Cache::named(CacheFormat::F32, [2, context], [kv_heads, width], u64::MAX);
        let CachePart { k, v, .. } = cache.parts[0];
        for id in [k, v] {
            device.engine.create(id, cache.bytes()).unwrap();
            device.engine.write(id, 0, bytemuck::cast_slice(&before)).unwrap();
        }
        let out = device.output(places.len(), queries);
        let store = Store::Cache { rows, cache: &cache };
        device.run(Linear { x, weight: &weight, bias, store, out }, 0);

        let size = twin::MatmulSize { inputs: 20, outputs: shape[0] };
        let all = twin::matmul(&wide(&values), &kept, Some(&biases), size);
        let part = |from: usize, count: usize| -> Vec<f64> {
            all.chunks(shape[0]).flat_map(|row| &row[from..from + count]).copied().collect()
        };
        device.check("store_cache", &places, &out, &part(0, queries));
        for (buffer, from) in [(k, queries), (v, queries + keys)] {
            let mut expected = wide(&before);
            let places = places.iter().map(|(_, at, sequence)| (sequence * 5 + at) as usize);
            for (place, row) in places.zip(part(from, keys).chunks(keys)) {
                expected[place * keys..][..keys].copy_from_slice(row);
            }
            let found: Vec<f32> = device.read_words(buffer, before.len());
            device.compare("store_cache", &from, &found, &expected, 1e-5);
        }
    }
}
