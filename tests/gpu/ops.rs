//! The ops over rows and heads, each over a table of shapes, kinds of values and variants.

use pellucid::check::Values;
use pellucid::check::cases::{
    Activate, Add, CacheEnds, ClearPadding, Divergence, DivideRows, Embed, GainBias, Gated, Gather,
    HeadNorm, LayerNorm, LayerNormCenter, LogProb, PosEmbed, Project, RmsNorm, RmsScale, Rope,
    ScaleAdd,
};
use pellucid::format::Format;

use crate::common::Device;

/// Rows and columns: one value, odd, less and more than a workgroup, large.
const SHAPES: [(usize, usize); 7] =
    [(1, 1), (1, 768), (3, 7), (5, 100), (5, 256), (2, 257), (7, 2050)];

/// Arguments of activation functions, by scale and offset: both sides of zero, the left tail alone,
/// where 1 + tanh cancels, and large and tiny values.
const ARGUMENTS: [(f32, f32); 5] = [(1.0, 0.0), (5.0, -5.0), (1e4, 0.0), (1e-3, 0.0), (1e-30, 0.0)];

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
                device.check(&Embed { format, vocab, columns, max_binding });
            }
        }
    }
}

#[test]
fn pos_embed() {
    let mut device = Device::open();
    for (positions, columns) in [(12, 32), (12, 96), (12, 768), (12, 7), (12, 100), (1, 512)] {
        device.check(&PosEmbed { positions, columns });
    }
}

/// Tests of ops whose cases have rows, columns and kinds of values: with every reduction if their
/// programs depend on it.
macro_rules! over_rows {
    ($($name:ident: $case:ident $($every_reduction:ident)?;)*) => {$(
        #[test]
        fn $name() {
            let mut device = Device::open();
            let reductions = vec![device.selection.reduce];
            $(let reductions = { drop(reductions); device.$every_reduction() };)?
            for reduce in reductions {
                device.selection.reduce = reduce;
                for (rows, columns) in SHAPES {
                    for values in Values::ALL {
                        device.check(&$case { rows, columns, values });
                    }
                }
            }
        }
    )*};
}

over_rows! {
    layer_norm: LayerNorm reductions;
    rms_norm: RmsNorm reductions;
    layer_norm_center: LayerNormCenter reductions;
    rms_scale: RmsScale reductions;
    divide_rows: DivideRows;
    gain_bias: GainBias;
}

#[test]
fn log_prob() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for (rows, vocab) in SHAPES.into_iter().chain([(3, 50_257)]) {
            for values in Values::ALL {
                device.check(&LogProb { rows, vocab, values });
            }
        }
    }
}

#[test]
fn divergence() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for (rows, vocab) in SHAPES.into_iter().chain([(3, 50_257)]) {
            for tied in [false, true] {
                device.check(&Divergence { rows, vocab, tied });
            }
        }
    }
}

#[test]
fn head_norm() {
    let mut device = Device::open();
    for (rows, heads) in [(1, [1, 1, 7]), (5, [4, 2, 64]), (3, [70, 10, 20]), (2, [9, 3, 128])] {
        for values in Values::ALL {
            device.check(&HeadNorm { rows, heads, values });
        }
    }
}

#[test]
fn rope() {
    let mut device = Device::open();
    for case in Rope::table() {
        device.check(&case);
    }
}

/// What does not fit in f16 is NaN in a cache in f16, and what fits is rounded to it.
#[test]
fn the_ends_of_a_cache_in_f16() {
    let mut device = Device::open();
    for width in [1, 4, 7, 64] {
        device.check(&CacheEnds { width });
    }
}

#[test]
fn clear_padding() {
    let mut device = Device::open();
    for (rows, columns) in
        [(1, 1), (3, 7), (5, 100), (2, 257), (7, 2050), (64, 3), (65, 4), (200, 36)]
    {
        device.check(&ClearPadding { rows, columns });
    }
}

#[test]
fn gather() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        device.check(&Gather { rows, columns });
    }
}

#[test]
fn add() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for twice in [false, true] {
            device.check(&Add { rows, columns, twice });
        }
    }
}

#[test]
fn scale_add() {
    let mut device = Device::open();
    for case in ScaleAdd::table() {
        device.check(&case);
    }
}

#[test]
fn project() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for case in Project::table() {
            device.check(&case);
        }
    }
}

#[test]
fn activate() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES.into_iter().chain([(40, 1100)]) {
        for (scale, offset) in ARGUMENTS {
            device.check(&Activate { rows, columns, scale, offset });
        }
    }
}

#[test]
fn gated() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES.into_iter().chain([(40, 1100)]) {
        for (scale, offset) in ARGUMENTS {
            device.check(&Gated { rows, columns, scale, offset });
        }
    }
}
