//! Linear layers: few rows and many, every format, every epilogue, whole and in parts.

use pellucid::check::Values;
use pellucid::check::cases::{Linear, LinearBeyondF16, LinearToCache};
use pellucid::format::Format;
use pellucid::ops::CacheFormat;
use pellucid::select::Matmul;

use crate::common::Device;

/// Outputs and inputs that a format can hold: odd where it can, and not multiples of a tile.
fn shapes(format: Format) -> [[usize; 2]; 3] {
    match format.block() {
        1 => [[2, 7], [34, 20], [250, 516]],
        32 => [[2, 32], [34, 96], [250, 544]],
        block => [[2, block], [34, 3 * block], [250, 2 * block]],
    }
}

#[test]
fn matvec() {
    let mut device = Device::open();
    for (number, lanes) in device.lanes().into_iter().enumerate() {
        device.selection.lanes = lanes;
        let counts: &[usize] = if number == 0 { &[1, 2, 5, 8] } else { &[1, 5] };
        for (i, format) in Format::ALL.into_iter().enumerate() {
            for (j, &rows) in counts.iter().enumerate() {
                for shape in shapes(format) {
                    device.check(&Linear::plain(format, rows, shape).with_epilogue(i + j));
                }
            }
            let case = Linear::plain(format, 1, shapes(format)[1]).with_epilogue(i);
            device.check(&Linear { part: Some(8), ..case });
        }
    }
}

/// Products in f16 are never those of values that were clipped.
#[test]
fn what_does_not_fit_in_f16_is_no_factor_of_another_product() {
    let mut device = Device::open();
    let mut tiles = vec![Matmul::Direct { n: 8, t: 8 }, Matmul::Tiled];
    tiles.extend(device.caps().f16.then_some(Matmul::TiledF16));
    for tile in tiles {
        device.selection.matmul = tile;
        for rows in [1, 9, 40] {
            for format in [Format::F32, Format::Q8_0] {
                let extremes = [2e6, 0.5];
                device.check(&LinearBeyondF16 { format, rows, extremes });
            }
            for extremes in [[-3e6, 0.5], [0.5, 1e5], [0.5, -7e4]] {
                device.check(&LinearBeyondF16 { format: Format::F32, rows, extremes });
            }
        }
    }
}

#[test]
fn matmul() {
    let mut device = Device::open();
    let direct = |n, t| Matmul::Direct { n, t };
    let mut tiles = vec![direct(8, 8), direct(8, 1), direct(2, 16), Matmul::Tiled];
    tiles.extend(device.caps().f16.then_some(Matmul::TiledF16));
    for (i, &tile) in tiles.iter().enumerate() {
        device.selection.matmul = tile;
        for (j, format) in Format::ALL.into_iter().enumerate() {
            let [small, middle, large] = shapes(format);
            for case in [
                Linear::plain(format, 9, small),
                Linear::plain(format, 32, middle),
                Linear::plain(format, 130, middle),
                Linear { part: Some(16), ..Linear::plain(format, 33, middle) },
                Linear::plain(format, 33, large),
            ] {
                device.check(&case.with_epilogue(i + j));
            }
        }
    }
}

/// Every epilogue, of few rows and of many.
#[test]
fn linear() {
    let mut device = Device::open();
    for i in 0..16 {
        for rows in [2, 17] {
            device.check(&Linear::plain(Format::F32, rows, [74, 30]).with_epilogue(i));
            let case = Linear::plain(Format::Q8_0, rows, [74, 64]).with_epilogue(i);
            device.check(&Linear { part: Some(24), ..case });
        }
    }
}

#[test]
fn hostile_values() {
    let mut device = Device::open();
    for format in Format::ALL {
        for rows in [1, 12] {
            let case = Linear::plain(format, rows, [50, format.block().max(128)]);
            for values in Values::ALL {
                device.check(&Linear { values, ..case });
            }
            device.check(&Linear { scale: 5e-5, ..case });
        }
    }
}

#[test]
fn keys_and_values_go_straight_into_the_cache() {
    let mut device = Device::open();
    for cache in [CacheFormat::F32, CacheFormat::F16] {
        for positions in [vec![(3, 1)], (0..9).map(|i| (i % 5, i / 5)).collect()] {
            device.check(&LinearToCache { format: Format::F32, cache, positions });
        }
    }
}
