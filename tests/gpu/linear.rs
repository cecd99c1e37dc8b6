//! Linear maps: few rows and many, every format, every store, whole and in parts.

use pellucid::names::Format;
use pellucid::ops::{Linear, MatmulTile, Store, Weight};
use pellucid::reference as twin;

use crate::common::{Device, Values, wide};

const STORES: [Store; 4] = [Store::Write, Store::Add, Store::Gelu, Store::SwiGlu];

/// One product.
#[derive(Clone, Copy, Debug)]
struct Case {
    format: Format,
    rows: usize,
    /// Outputs and inputs.
    shape: [usize; 2],
    store: Store,
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
        Self { store: STORES[i % 4], biased: i / 4 % 2 == 1, ..self }
    }
}

/// Outputs and inputs that a format can hold: odd where it can, and not multiples of a tile.
fn shapes(format: Format) -> [[usize; 2]; 3] {
    if format.block() == 1 {
        [[2, 7], [34, 20], [250, 516]]
    } else {
        [[2, 32], [34, 96], [250, 544]]
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
    let columns = if matches!(case.store, Store::SwiGlu) { outputs / 2 } else { outputs };
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
        Store::Gelu => twin::gelu(&y),
        Store::SwiGlu => {
            y.chunks(2).flat_map(|pair| twin::swiglu(&pair[..1], &pair[1..])).collect()
        }
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
    let tiles = [(8, 8), (8, 1), (2, 16)].map(|(n, t)| MatmulTile { n, t });
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
    for i in 0..8 {
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
        for values in Values::ALL {
            for rows in [1, 12] {
                check(&mut device, Case { values, ..Case::plain(format, rows, [50, 128]) });
            }
        }
        // Halves below 6.1e-5, as values or as scales, are subnormal.
        let subnormal: Vec<f32> = device.noise(50 * 128).iter().map(|x| x * 5e-5).collect();
        let (weight, kept) = device.weight(format, [50, 128], u64::MAX, &subnormal);
        assert!(kept.iter().any(|value| *value != 0.0), "{format} keeps something");
        for rows in [1, 12] {
            product(&mut device, Case::plain(format, rows, [50, 128]), &weight, &kept);
        }
    }
}
