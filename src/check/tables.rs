//! What the self-test tries: hostile shapes and values for every kernel.

use crate::names::{Format, Sampling};
use crate::ops::CacheFormat;

#[cfg(feature = "train")]
use super::backward;
use super::cases::{
    Attend, Best, Case, Draws, Functions, HeadNorms, Heads, Move, Norms, Product, Steps, Straight,
    Targets, Tokens, Turn,
};
use super::device::Values;

/// A list of cases of several kinds.
pub(super) type Table = Vec<Box<dyn Case>>;

/// Rows and columns: one value, odd, less and more than a workgroup, large.
const SHAPES: [(usize, usize); 5] = [(1, 1), (1, 768), (3, 7), (2, 257), (7, 2050)];

const PLAIN: Sampling = Sampling {
    repetition_penalty: 1.3,
    presence_penalty: 0.4,
    frequency_penalty: 0.25,
    temperature: 0.9,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    seed: 0x1234_5678_9abc_def0,
};

/// Settings that take other paths through the kernel.
const SETTINGS: [Sampling; 3] = [
    Sampling { temperature: 0.0, ..PLAIN },
    PLAIN,
    Sampling { temperature: 1.3, top_k: 60, top_p: 0.9, min_p: 0.02, ..PLAIN },
];

/// Shapes and values that have broken kernels before: for what depends on the variants in use, and,
/// to be tried once, for what depends on them not at all, or as little as a store on the lanes
/// before it.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) variants: Table,
    pub(super) once: Table,
}

impl Tables {
    /// Linear maps.
    pub(super) fn maps() -> Self {
        let mut all = Self::default();
        linear(&mut all.variants);
        #[cfg(feature = "train")]
        backward::products(&mut all.variants);
        stores(&mut all.once);
        all
    }

    /// All else.
    pub(super) fn rest() -> Self {
        let mut all = Self::default();
        sums(&mut all.variants);
        attention(&mut all.variants);
        draws(&mut all.variants);
        tables(&mut all.once);
        widths(&mut all.once);
        rows(&mut all.once);
        #[cfg(feature = "train")]
        backward::add(&mut all);
        all
    }
}

/// A few small shapes of each kernel; attention with the model's own heads.
pub(super) fn quick(heads: [usize; 3]) -> Table {
    let mut table = Table::new();
    for format in Format::ALL {
        let [small, middle, _] = shapes(format);
        // Tiles of every height.
        for rows in [1, 9, 20, 40] {
            for shape in [middle, small] {
                // Added to the residual stream, and gated; both with a bias.
                let product = Product::plain(format, rows, shape);
                table.extend([1, 3].map(|i| boxed(product.stored(i))));
            }
        }
        table.push(boxed(Tokens { format, vocab: 37, columns: middle[1], max_binding: u64::MAX }));
        table.push(boxed(Tokens { format, vocab: 9, columns: small[1], max_binding: u64::MAX }));
    }
    for cache in [CacheFormat::F32, CacheFormat::F16] {
        for format in Format::ALL {
            straight(&mut table, format, cache);
        }
        let attend = |places| Attend { format: cache, ..Attend::new(heads, 130, places) };
        for places in [Attend::row_run(127, 1), Attend::ragged(5, 130), Attend::ragged(40, 130)] {
            table.push(boxed(attend(places)));
        }
    }
    for values in [Values::Plain, Values::Large] {
        table.push(boxed(Norms { rows: 3, columns: 257, values }));
        table.push(boxed(Targets { rows: 3, vocab: 1003, values }));
    }
    for (rows, columns) in [(3, 7), (2, 257)] {
        table.push(boxed(Move { rows, columns }));
        table.push(boxed(Functions { rows, columns, scale: 5.0, offset: -5.0 }));
        table.push(boxed(HeadNorms { rows, heads: [4, 2, columns], values: Values::Plain }));
    }
    // One far case has the cache of a long context; the other has twice of it, which is much in a browser.
    let turns = Turn::table().into_iter().filter(|turn| turn.context < 1000 || turn.rotated == 8);
    table.extend(turns.map(boxed));
    for sampling in SETTINGS {
        table.push(boxed(Draws { rows: 2, vocab: 501, steps: 6, sampling, tied: false }));
    }
    table.push(boxed(Best { rows: 2, vocab: 501, k: 5, tied: true }));
    table
}

pub(super) fn boxed(case: impl Case + 'static) -> Box<dyn Case> {
    Box::new(case)
}

/// Outputs and inputs that a format can hold: odd where it can, and not multiples of a tile.
fn shapes(format: Format) -> [[usize; 2]; 3] {
    match format.block() {
        1 => [[2, 7], [34, 20], [250, 516]],
        block => [[2, block], [34, 3 * block], [250, 544_usize.next_multiple_of(block)]],
    }
}

fn straight(table: &mut Table, format: Format, cache: CacheFormat) {
    for places in [vec![(3, 1)], (0..9).map(|i| (i % 5, i / 5)).collect()] {
        table.push(boxed(Straight { format, cache, places }));
    }
}

// A device takes a tenth of a second or two to compile a program, and there are hundreds: so every
// format is tried with every way to multiply, but every store with one of each.
fn linear(table: &mut Table) {
    for format in Format::ALL {
        let [small, middle, large] = shapes(format);
        let plain = |rows, shape| Product::plain(format, rows, shape);
        // One row, and many: less than a tile, a whole one, and a few rows past it.
        let all = [(1, small), (1, large), (9, small), (20, middle), (65, middle), (33, large)];
        table.extend(all.map(|(rows, shape)| boxed(plain(rows, shape))));
        let shape = [50, 4 * format.block().max(32)];
        let (part, scale) = (Some(16), 5e-5);
        for rows in [1, 12] {
            let hostile = plain(rows, shape);
            table.extend(Values::ALL.map(|values| boxed(Product { values, ..hostile })));
            table.push(boxed(Product { scale, ..hostile }));
            table.push(boxed(Product { part, ..hostile }));
        }
    }
    // Several rows at once, in all three lengths of words.
    for format in [Format::F32, Format::Q8_0, Format::Q4_0] {
        table.extend([2, 8].map(|rows| boxed(Product::plain(format, rows, shapes(format)[1]))));
    }
}

fn stores(table: &mut Table) {
    for format in [Format::F32, Format::Q8_0] {
        let shape = [74, 30_usize.next_multiple_of(format.block())];
        for i in 0..8 {
            table.extend([2, 17].map(|rows| boxed(Product::plain(format, rows, shape).stored(i))));
        }
    }
    straight(table, Format::F32, CacheFormat::F32);
    straight(table, Format::Q4_0, CacheFormat::F16);
}

fn tables(table: &mut Table) {
    for format in Format::ALL {
        let shape = [37, 3 * format.block().max(4)];
        for max_binding in [u64::MAX, 8 * 4 * shape[1] as u64] {
            table.push(boxed(Tokens { format, vocab: shape[0], columns: shape[1], max_binding }));
        }
        // Heads that begin and end within a word of the map.
        let (part, shape) = (Some(16), [8, 64, 77]);
        table.push(boxed(Heads { format, rows: 3, shape, part }));
    }
}

fn sums(table: &mut Table) {
    for (rows, columns) in SHAPES {
        for values in Values::ALL {
            table.push(boxed(Norms { rows, columns, values }));
            table.push(boxed(Targets { rows, vocab: columns, values }));
        }
    }
    table.push(boxed(Targets { rows: 3, vocab: 50_257, values: Values::Plain }));
}

/// Heads of several widths, which every kernel of attention unrolls by.
fn widths(table: &mut Table) {
    let (short, long) = (CacheFormat::F16, CacheFormat::F32);
    for (format, heads) in [(long, [1, 1, 7]), (long, [8, 1, 128]), (short, [9, 3, 64])] {
        for rows in [1, 3, 9, 40] {
            let case = Attend::new(heads, 70, Attend::ragged(rows, 70));
            table.push(boxed(Attend { format, ..case }));
        }
    }
}

fn attention(table: &mut Table) {
    let (short, long) = (CacheFormat::F16, CacheFormat::F32);
    for rows in [1, 3, 9, 40] {
        table.push(boxed(Attend::new([4, 2, 20], 70, Attend::ragged(rows, 70))));
    }
    for format in [short, long] {
        for window in [None, Some(5), Some(1000)] {
            for places in [vec![(299, 0), (0, 1), (150, 2)], Attend::row_run(270, 30)] {
                let case = Attend { format, window, ..Attend::new([4, 2, 20], 300, places) };
                table.push(boxed(case.clone()));
                table.push(boxed(Steps(case)));
            }
        }
        // A long context, by its last rows.
        for rows in [1, 10] {
            let places = Attend::row_run(4096 - rows, rows);
            table.push(boxed(Attend { format, ..Attend::new([4, 2, 20], 4096, places) }));
        }
    }
    // Caches in parts so short that windows and tiles straddle them, and scores softly bounded.
    for (format, part) in [(short, 4), (long, 17)] {
        for places in [vec![(69, 0)], Attend::ragged(3, 69), Attend::row_run(35, 34)] {
            let (window, softcap) = (Some(50), Some(0.5));
            let case = Attend::new([6, 2, 10], 70, places);
            let case = Attend { format, part, window, softcap, scale: 0.7, ..case };
            table.push(boxed(case.clone()));
            table.push(boxed(Steps(case)));
        }
    }
    for queries in Values::ALL {
        for places in [Attend::row_run(99, 1), Attend::row_run(88, 12)] {
            let case = Attend { queries, ..Attend::new([4, 2, 20], 100, places) };
            table.push(boxed(case.clone()));
            table.push(boxed(Steps(case)));
        }
    }
}

fn rows(table: &mut Table) {
    for (rows, columns) in SHAPES {
        table.push(boxed(Move { rows, columns }));
        for (scale, offset) in [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-30, 0.0)] {
            table.push(boxed(Functions { rows, columns, scale, offset }));
        }
    }
    for (rows, heads) in [(1, [1, 1, 7]), (3, [70, 10, 20]), (2, [9, 3, 128])] {
        table.extend(Values::ALL.map(|values| boxed(HeadNorms { rows, heads, values })));
    }
    table.extend(Turn::table().into_iter().map(boxed));
}

fn draws(table: &mut Table) {
    for (rows, vocab, steps) in [(1, 1, 3), (3, 7, 20), (2, 501, 20), (2, 4096, 8)] {
        for sampling in SETTINGS {
            let draws = |tied| boxed(Draws { rows, vocab, steps, sampling, tied });
            table.extend([false, true].map(draws));
        }
    }
    for (rows, vocab, k) in [(1, 1, 1), (3, 7, 7), (2, 501, 64), (3, 4096, 5)] {
        table.extend([false, true].map(|tied| boxed(Best { rows, vocab, k, tied })));
    }
}
