//! The kernels that write out one by one what fused ones keep to themselves, each against its twin.

use pellucid::ops::{
    Columns, DivideRows, GainBias, LayerNormCenter, PosEmbed, RmsScale, ScaleAdd, SumHeads,
};
use pellucid::reference as twin;

use crate::common::{Device, Values, wide};

/// (rows, columns): one row, odd widths, less and more than a workgroup.
const SHAPES: [(usize, usize); 6] = [(1, 1), (1, 60), (3, 7), (5, 256), (2, 769), (40, 1030)];

#[test]
fn norm_steps() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for kind in [Values::Plain, Values::Large, Values::Equal] {
            for reduce in device.reductions() {
                device.choices.reduce = reduce;
                let case = (rows, columns, kind, reduce);
                let values = device.values(kind, rows * columns);
                let x = device.tensor(rows, columns, &values);
                let centred = device.output(rows, columns);
                device.run(LayerNormCenter { x, out: centred }, 0);
                let expected = twin::layer_norm_center(&wide(&values), columns);
                // Equal values leave nothing but rounding, which no relative bound holds.
                if !matches!(kind, Values::Equal) && columns > 1 {
                    device.check("layer_norm_center", &case, &centred, &expected);
                }
                let eps = 1e-5;
                let scale = device.output(rows, 1);
                device.run(RmsScale { x, eps, out: scale }, 0);
                let scales = twin::rms_scale(&wide(&values), columns, eps);
                device.check("rms_scale", &case, &scale, &scales);

                let out = device.output(rows, columns);
                device.run(DivideRows { x, scale, out }, 0);
                let expected = twin::divide_rows(&wide(&values), &scales);
                device.check("divide_rows", &case, &out, &expected);
            }
        }
    }
}

#[test]
fn gains_and_biases() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for biased in [false, true] {
            let (values, gains) = (device.noise(rows * columns), device.noise(columns));
            let biases = biased.then(|| device.noise(columns));
            let x = device.tensor(rows, columns, &values);
            let gain = device.tensor(1, columns, &gains);
            let bias = biases.as_ref().map(|biases| device.tensor(1, columns, biases));
            let out = device.output(rows, columns);
            device.run(GainBias { x, gain, bias, out }, 0);
            let expected = twin::gain_bias(&wide(&values), &gains, biases.as_deref());
            device.check("gain_bias", &(rows, columns, biased), &out, &expected);
        }
    }
}

#[test]
fn positions_alone() {
    let mut device = Device::open();
    for (count, columns) in SHAPES {
        let table = device.noise(64 * columns);
        let positions = device.tensor(64, columns, &table);
        let places: Vec<u32> = (0..count as u32).map(|row| row * 29 % 64).collect();
        let rows: Vec<_> = places.iter().map(|&position| (3, position, 0)).collect();
        let rows = device.rows(&rows);
        let out = device.output(count, columns);
        device.run(PosEmbed { rows, positions, out }, 0);
        let expected = twin::embed(&places, &table, columns);
        device.check("pos_embed", &(count, columns), &out, &expected);
    }
}

#[test]
fn sums_of_heads() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for (heads, biased) in [(1, true), (3, false), (12, true)] {
            let values = device.noise(rows * heads * columns);
            let biases = biased.then(|| device.noise(columns));
            let x = device.tensor(rows, heads * columns, &values);
            let bias = biases.as_ref().map(|biases| device.tensor(1, columns, biases));
            let out = device.output(rows, columns);
            device.run(SumHeads { x, heads, bias, out }, 0);
            let expected = twin::sum_heads(&wide(&values), biases.as_deref(), heads, columns);
            device.check("sum_heads", &(rows, columns, heads, biased), &out, &expected);
        }
    }
}

/// An edit changes its rows and columns and no others.
#[test]
fn scale_add() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for step in [1, 2] {
            for scale in [0.0, 1.0, -2.5] {
                for one in [true, false] {
                    let (start, first) = (columns / 3, rows / 2);
                    let count = (columns - start).div_ceil(step);
                    let added = if one { 1 } else { rows - first };
                    let (values, add) = (device.noise(rows * columns), device.noise(added * count));
                    let of = device.tensor(rows, columns, &values);
                    let x = Columns { of, start, count, step };
                    let tensor = device.tensor(added, count, &add);
                    device.run(ScaleAdd { x, rows: first..rows, scale, add: tensor }, 0);
                    let mut expected = wide(&values);
                    for row in first..rows {
                        for i in 0..count {
                            let value = &mut expected[row * columns + start + i * step];
                            let own = if one { 0 } else { (row - first) * count };
                            *value = f64::from(scale) * *value + f64::from(add[own + i]);
                        }
                    }
                    device.check("scale_add", &(rows, columns, step, scale, one), &of, &expected);
                }
            }
        }
    }
}
