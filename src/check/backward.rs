//! What the self-test tries of training: hostile shapes and values for every derivative.

use crate::names::Format;
use crate::ops::CacheFormat;
use crate::ops::backward::MAX_TRAINED_HEAD_WIDTH;

use super::cases::{
    AttendBack, Casts, Drops, FunctionsBack, Moves, NormsBack, ProductBack, TargetsBack,
    TokensBack, TurnBack,
};
use super::device::Values;
use super::tables::{Table, Tables, boxed};

/// Derivatives of linear maps.
pub(super) fn products(table: &mut Table) {
    let (full, half) = (Format::F32, Format::F16);
    for (format, rows, shape, part) in [
        (full, 1, [1, 1], None),
        (full, 9, [7, 30], None),
        (full, 33, [70, 20], Some(16)),
        (full, 20, [7, 30], None),
        (full, 65, [34, 257], None),
        // So many rows that they are shared.
        (full, 700, [70, 130], None),
        (half, 9, [7, 30], None),
        (half, 33, [70, 20], Some(16)),
        (half, 65, [34, 257], None),
    ] {
        table.push(boxed(ProductBack { format, rows, shape, part }));
    }
}

/// A few small shapes of each derivative; attention with the model's own heads.
pub(super) fn quick(table: &mut Table, heads: [usize; 3]) {
    products(table);
    for values in [Values::Plain, Values::Large] {
        table.push(boxed(NormsBack { rows: 3, columns: 257, values }));
        table.push(boxed(TargetsBack { rows: 3, vocab: 1003, values }));
    }
    // As many rows as make some lanes, and all, share them.
    for rows in [40, 600] {
        table.push(boxed(NormsBack { rows, columns: 7, values: Values::Plain }));
    }
    for broken in [None, Some(f32::NAN)] {
        table.push(boxed(Moves { count: 1000, scale: 1.0, broken }));
    }
    table.push(boxed(Casts { count: 1000 }));
    table.push(boxed(TokensBack { rows: 33, shape: [70, 20], part: None }));
    for (rows, columns) in [(3, 7), (2, 257)] {
        table.push(boxed(FunctionsBack { rows, columns, scale: 5.0 }));
        table.push(boxed(Drops { rows, columns, probability: 0.3 }));
    }
    if heads[2] <= MAX_TRAINED_HEAD_WIDTH {
        let format = CacheFormat::F32;
        for (window, softcap) in [(None, None), (Some(6), Some(0.5))] {
            table.push(boxed(AttendBack { heads, shape: [2, 40], window, softcap, format }));
        }
        table.push(boxed(TurnBack { heads, rotated: heads[2] / 2 * 2, amplitude: 1.1 }));
    }
}

/// All other derivatives, and what a step does with them.
pub(super) fn add(tables: &mut Tables) {
    let Tables { variants, once } = tables;
    for (rows, columns) in [(1, 1), (3, 7), (2, 257)] {
        for values in Values::ALL {
            variants.push(boxed(NormsBack { rows, columns, values }));
            variants.push(boxed(TargetsBack { rows, vocab: columns, values }));
        }
    }
    // As many rows as make all lanes share them.
    once.push(boxed(NormsBack { rows: 600, columns: 7, values: Values::Plain }));
    for (scale, broken) in
        [(1.0, None), (1.0, Some(f32::NAN)), (1.0, Some(f32::NEG_INFINITY)), (1e-6, None)]
    {
        variants.push(boxed(Moves { count: 1000, scale, broken }));
    }
    variants.push(boxed(Moves { count: 300_000, scale: 1.0, broken: None }));
    once.push(boxed(Casts { count: 100_000 }));

    for (rows, shape, part) in
        [(1, [1, 1], None), (9, [7, 30], None), (33, [70, 20], Some(16)), (65, [34, 257], None)]
    {
        once.push(boxed(TokensBack { rows, shape, part }));
    }
    for (rows, columns) in [(1, 1), (3, 7), (2, 257)] {
        for scale in [5.0, 1e4, 1e-30] {
            once.push(boxed(FunctionsBack { rows, columns, scale }));
        }
        once.push(boxed(Drops { rows, columns, probability: 0.3 }));
    }
    for format in [CacheFormat::F32, CacheFormat::F16] {
        for (heads, shape, window, softcap) in [
            ([1, 1, 7], [1, 5], None, None),
            ([4, 2, 20], [2, 40], Some(6), None),
            ([3, 1, 64], [1, 70], None, Some(0.5)),
            ([2, 2, 10], [3, 1], None, None),
        ] {
            once.push(boxed(AttendBack { heads, shape, window, softcap, format }));
        }
    }
    let (heads, format) = ([2, 1, 128], CacheFormat::F32);
    once.push(boxed(AttendBack { heads, shape: [1, 9], window: None, softcap: None, format }));
    for (heads, rotated) in [([4, 2, 20], 20), ([3, 1, 7], 4), ([2, 1, 6], 0)] {
        once.push(boxed(TurnBack { heads, rotated, amplitude: 1.1 }));
    }
}
