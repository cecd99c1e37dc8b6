//! The derivatives, each over a table of shapes, kinds of values and variants.

use pellucid::check::Values;
use pellucid::check::cases::{
    AttendBack, Casts, Drops, FunctionsBack, Moves, NormsBack, Product, ProductBack, TargetsBack,
    TokensBack, TurnBack,
};
use pellucid::names::Format;
use pellucid::ops::{CacheFormat, Matmul};

use crate::common::Device;

const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 7), (5, 256), (2, 257), (40, 100), (600, 9)];

#[test]
fn products() {
    let mut device = Device::open();
    let direct = [(8, 1), (8, 8), (2, 16)].map(|(n, t)| Matmul::Direct { n, t });
    for matmul in direct.into_iter().chain([Matmul::Tiled]) {
        device.choices.matmul = matmul;
        for (format, rows) in [Format::F32, Format::F16]
            .into_iter()
            .flat_map(|format| [1, 7, 20, 65].map(|rows| (format, rows)))
        {
            for shape in [[1, 1], [7, 30], [130, 12], [8, 257]] {
                device.check(&ProductBack { format, rows, shape, part: None });
            }
            device.check(&ProductBack { format, rows, shape: [70, 20], part: Some(16) });
        }
        // So many rows are shared.
        let format = Format::F32;
        device.check(&ProductBack { format, rows: 700, shape: [70, 130], part: None });
    }
}

#[test]
fn norms() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        for (rows, columns) in SHAPES {
            for values in Values::ALL {
                device.check(&NormsBack { rows, columns, values });
            }
        }
    }
}

#[test]
fn losses() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        for (rows, vocab) in SHAPES.into_iter().chain([(3, 50_257)]) {
            for values in Values::ALL {
                device.check(&TargetsBack { rows, vocab, values });
            }
        }
    }
}

#[test]
fn steps() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        for count in [4, 1000, 200_000] {
            let (nan, infinity) = (Some(f32::NAN), Some(f32::INFINITY));
            for (scale, broken) in [(1.0, None), (1e-6, None), (1.0, nan), (1.0, infinity)] {
                device.check(&Moves { count, scale, broken });
            }
            device.check(&Casts { count: count.next_multiple_of(8) });
        }
    }
}

#[test]
fn tables() {
    let mut device = Device::open();
    for (rows, shape) in [(1, [1, 1]), (40, [9, 30]), (100, [70, 20]), (3, [500, 513])] {
        for part in [None, Some(16)] {
            device.check(&TokensBack { rows, shape, part });
        }
    }
}

#[test]
fn functions_and_dropout() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for scale in [1.0, 5.0, 1e4, 1e-30] {
            device.check(&FunctionsBack { rows, columns, scale });
        }
        for probability in [0.0, 0.1, 0.9] {
            device.check(&Drops { rows, columns, probability });
        }
    }
}

#[test]
fn attention() {
    let mut device = Device::open();
    let (format, plain) = (CacheFormat::F32, (None, None));
    for heads in [[1, 1, 7], [4, 2, 20], [3, 1, 32], [2, 2, 64], [2, 1, 128]] {
        for shape in [[1, 1], [2, 5], [3, 40], [1, 130]] {
            let others = [(Some(1), None), (Some(7), None), (None, Some(0.7))];
            let more = if heads[2] == 20 { &others[..] } else { &[] };
            for &(window, softcap) in [plain].iter().chain(more) {
                device.check(&AttendBack { heads, shape, window, softcap, format });
            }
        }
    }
}

#[test]
fn rotation() {
    let mut device = Device::open();
    for (heads, rotated) in [([4, 2, 20], 20), ([3, 1, 7], 4), ([2, 1, 64], 64), ([2, 1, 6], 0)] {
        for amplitude in [1.0, 1.1] {
            device.check(&TurnBack { heads, rotated, amplitude });
        }
    }
}

/// The bytes that this program has in memory.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// A driver may compile a kernel anew for the bounds of every dispatch and keep every copy, some
/// 300 kB each: a run of some hours would not end well. Measured in a process of its own, since
/// other tests take memory too.
#[test]
#[cfg(target_os = "linux")]
fn products_again_and_again_take_no_more_memory() {
    const ALONE: &str = "PELLUCID_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let name = "backward::products_again_and_again_take_no_more_memory";
        let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let mut device = Device::open();
    let format = Format::F32;
    let case = ProductBack { format, rows: 64, shape: [64, 32], part: None };
    let forward = Product::plain(Format::F32, 64, [64, 32]);
    let mut run = |times| {
        for _ in 0..times {
            device.check(&case);
            device.check(&forward);
        }
    };
    run(20);
    let before = resident();
    run(60);
    let grown = resident().saturating_sub(before);
    // The copies came to 100 MB.
    assert!(grown < 20 << 20, "{} kB more", grown >> 10);
}
