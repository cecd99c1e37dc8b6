//! The ops over rows and heads, each over a table of shapes, kinds of values and variants.

use pellucid::check::Values;
use pellucid::check::cases::{Functions, HeadNorms, Move, Norms, Targets, Tokens, Turn};
use pellucid::names::Format;

use crate::common::Device;

/// Rows and columns: one value, odd, less and more than a workgroup, large.
const SHAPES: [(usize, usize); 7] =
    [(1, 1), (1, 768), (3, 7), (5, 100), (5, 256), (2, 257), (7, 2050)];

#[test]
fn embed() {
    let mut device = Device::open();
    for format in Format::ALL {
        for (vocab, columns) in [(9, 32), (37, 96), (50, 768), (37, 7), (37, 100), (18, 512)] {
            if columns % format.block() != 0 {
                continue;
            }
            // In one part, and in parts of eight rows.
            for max_binding in [u64::MAX, 8 * 4 * columns as u64] {
                device.check(&Tokens { format, vocab, columns, max_binding });
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
            for values in Values::ALL {
                device.check(&Norms { rows, columns, values });
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
            for values in Values::ALL {
                device.check(&Targets { rows, vocab, values });
            }
        }
    }
}

#[test]
fn head_norm() {
    let mut device = Device::open();
    for (rows, heads) in [(1, [1, 1, 7]), (5, [4, 2, 64]), (3, [70, 10, 20]), (2, [9, 3, 128])] {
        for values in Values::ALL {
            device.check(&HeadNorms { rows, heads, values });
        }
    }
}

#[test]
fn rope() {
    let mut device = Device::open();
    for case in Turn::table() {
        device.check(&case);
    }
}

#[test]
fn gather_and_add() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        device.check(&Move { rows, columns });
    }
}

#[test]
fn activations() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES.into_iter().chain([(40, 1100)]) {
        // Both sides of zero, the left tail alone, where 1 + tanh cancels.
        for (scale, offset) in [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-3, 0.0), (1e-30, 0.0)] {
            device.check(&Functions { rows, columns, scale, offset });
        }
    }
}
