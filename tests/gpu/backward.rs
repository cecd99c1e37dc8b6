//! The derivatives, each over a table of shapes, kinds of values and variants.

use pellucid::check::Values;
use pellucid::check::cases::{
    ActivateBackward, AdamW, AttentionBackward, BiasBackward, Case, CastF16, Clip, CrossEntropy,
    Dropout, EmbedBackward, GainBackward, GatedBackward, Linear, LinearBackwardW, LinearBackwardX,
    NormBackward, RopeBackward, Sgd, SquareSum,
};
use pellucid::config::Norm;
use pellucid::format::Format;
use pellucid::ops::CacheFormat;
use pellucid::select::Matmul;

use crate::common::Device;

const SHAPES: [(usize, usize); 6] = [(1, 1), (3, 7), (5, 256), (2, 257), (40, 100), (600, 9)];

#[test]
fn linear_backward_x() {
    let mut device = Device::open();
    for matmul in matmuls() {
        device.selection.matmul = matmul;
        for format in [Format::F32, Format::F16] {
            for (rows, shape, part) in products() {
                device.check(&LinearBackwardX { format, rows, shape, part });
            }
        }
        let format = Format::F32;
        device.check(&LinearBackwardX { format, rows: 700, shape: [70, 130], part: None });
    }
}

#[test]
fn linear_backward_w() {
    let mut device = Device::open();
    for matmul in matmuls() {
        device.selection.matmul = matmul;
        for (rows, shape, part) in products() {
            device.check(&LinearBackwardW { rows, shape, part });
        }
        // So many rows are split into shares.
        device.check(&LinearBackwardW { rows: 700, shape: [70, 130], part: None });
    }
}

#[test]
fn bias_backward() {
    let mut device = Device::open();
    for matmul in matmuls() {
        device.selection.matmul = matmul;
        for rows in [1, 7, 20, 65] {
            for columns in [1, 7, 8, 70, 130] {
                device.check(&BiasBackward { rows, columns });
            }
        }
        // So many rows are split into shares.
        device.check(&BiasBackward { rows: 700, columns: 70 });
    }
}

/// Every way to multiply in f32, on which the derivatives of linear layers, and sums over rows,
/// depend.
fn matmuls() -> impl Iterator<Item = Matmul> {
    let direct = [(8, 1), (8, 8), (2, 16)].map(|(n, t)| Matmul::Direct { n, t });
    direct.into_iter().chain([Matmul::Tiled])
}

/// Rows, outputs and inputs, and the most rows in a part.
fn products() -> impl Iterator<Item = (usize, [usize; 2], Option<usize>)> {
    let shapes = [[1, 1], [7, 30], [130, 12], [8, 257]].map(|shape| (shape, None));
    let shapes = shapes.into_iter().chain([([70, 20], Some(16))]);
    [1, 7, 20, 65]
        .into_iter()
        .flat_map(move |rows| shapes.clone().map(move |(shape, part)| (rows, shape, part)))
}

#[test]
fn norm_backward() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for kind in [Norm::LayerNorm, Norm::RmsNorm] {
            for (rows, columns) in SHAPES {
                for values in Values::ALL {
                    device.check(&NormBackward { kind, rows, columns, values });
                }
            }
        }
    }
}

#[test]
fn gain_backward() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for values in Values::ALL {
            device.check(&GainBackward { rows, columns, values });
        }
    }
}

#[test]
fn cross_entropy() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for (rows, vocab) in SHAPES.into_iter().chain([(3, 50_257)]) {
            for values in Values::ALL {
                device.check(&CrossEntropy { rows, vocab, values });
            }
        }
    }
}

/// The scale of gradients, and one of their values, if it is not finite.
const GRADIENTS: [(f32, Option<f32>); 4] =
    [(1.0, None), (1e-6, None), (1.0, Some(f32::NAN)), (1.0, Some(f32::INFINITY))];

/// Values of a tensor whose squares fill one slot, or several.
const COUNTS: [usize; 4] = [4, 1000, 65_540, 200_000];

#[test]
fn square_sum() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for count in COUNTS {
            for (scale, broken) in GRADIENTS {
                device.check(&SquareSum { count, scale, broken });
            }
        }
    }
}

#[test]
fn clip() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        for count in [1, 2, 6, 700] {
            for (scale, broken) in GRADIENTS.into_iter().chain([(1e4, None)]) {
                device.check(&Clip { count, scale, broken });
            }
        }
    }
}

#[test]
fn adam_w() {
    let mut device = Device::open();
    for count in COUNTS {
        for (scale, broken) in GRADIENTS {
            device.check(&AdamW { count, scale, broken });
        }
    }
}

#[test]
fn sgd() {
    let mut device = Device::open();
    for count in COUNTS {
        for (scale, broken) in GRADIENTS {
            device.check(&Sgd { count, scale, broken });
        }
    }
}

#[test]
fn cast_f16() {
    let mut device = Device::open();
    for count in COUNTS {
        device.check(&CastF16 { count: count.next_multiple_of(8) });
    }
}

#[test]
fn embed_backward() {
    let mut device = Device::open();
    for (rows, shape) in [(1, [1, 1]), (40, [9, 30]), (100, [70, 20]), (3, [500, 513])] {
        for part in [None, Some(16)] {
            device.check(&EmbedBackward { rows, shape, part });
        }
    }
}

#[test]
fn activate_backward() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for scale in [1.0, 5.0, 1e4, 1e-30] {
            device.check(&ActivateBackward { rows, columns, scale });
        }
    }
}

#[test]
fn gated_backward() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for scale in [1.0, 5.0, 1e4, 1e-30] {
            device.check(&GatedBackward { rows, columns, scale });
        }
    }
}

#[test]
fn dropout() {
    let mut device = Device::open();
    for (rows, columns) in SHAPES {
        for probability in [0.0, 0.1, 0.9] {
            device.check(&Dropout { rows, columns, probability });
        }
    }
}

#[test]
fn attention_backward() {
    let mut device = Device::open();
    let (format, plain) = (CacheFormat::F32, (None, None));
    for heads in [[1, 1, 7], [4, 2, 20], [3, 1, 32], [2, 2, 64], [2, 1, 128]] {
        for shape in [[1, 1], [2, 5], [3, 40], [1, 130]] {
            let others = [(Some(1), None), (Some(7), None), (None, Some(0.7))];
            let more = if heads[2] == 20 { &others[..] } else { &[] };
            for &(window, softcap) in [plain].iter().chain(more) {
                device.check(&AttentionBackward { heads, shape, window, softcap, format });
            }
        }
    }
}

#[test]
fn rope_backward() {
    let mut device = Device::open();
    for (heads, rotated) in [([4, 2, 20], 20), ([3, 1, 7], 4), ([2, 1, 64], 64), ([2, 1, 6], 0)] {
        for amplitude in [1.0, 1.1] {
            device.check(&RopeBackward { heads, rotated, amplitude });
        }
    }
}

/// The resident memory of this process, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

/// A driver may compile a kernel again for the bounds of every dispatch and keep every copy, some
/// 300 kB each: a run of several hours would exhaust memory. Measured in a separate process, since
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
    let (format, rows, shape, part) = (Format::F32, 64, [64, 32], None);
    let for_x = LinearBackwardX { format, rows, shape, part };
    let for_w = LinearBackwardW { rows, shape, part };
    let forward = Linear::plain(format, rows, shape);
    let mut run = |times| {
        for _ in 0..times {
            let cases: [&dyn Case; 3] = [&for_x, &for_w, &forward];
            cases.into_iter().for_each(|case| device.check(case));
        }
    };
    run(20);
    let before = resident();
    run(60);
    let grown = resident().saturating_sub(before);
    // The copies amounted to 100 MB.
    assert!(grown < 20 << 20, "{} kB more", grown >> 10);
}
