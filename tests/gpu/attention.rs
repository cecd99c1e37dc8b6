//! Attention over the cache: split for few rows, whole for many, and step by step.

use pellucid::check::Values;
use pellucid::check::cases::{Attend, Heads, Steps};
use pellucid::names::Format;
use pellucid::ops::CacheFormat;

use crate::common::Device;

#[test]
fn head_widths_and_sharing() {
    let mut device = Device::open();
    let mut reductions = device.reductions().into_iter().cycle();
    for heads in [[1, 1, 7], [4, 2, 16], [3, 1, 20], [9, 3, 64], [2, 2, 80], [8, 1, 128]] {
        for format in [CacheFormat::F32, CacheFormat::F16] {
            device.choices.reduce = reductions.next().unwrap_or(device.choices.reduce);
            for rows in [1, 3, 8, 9, 40] {
                let case = Attend::new(heads, 70, Attend::ragged(rows, 70));
                device.check(&Attend { format, ..case });
            }
        }
    }
}

#[test]
fn every_reduction() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.choices.reduce = reduce;
        // Group sizes that fit one workgroup together, and one that does not.
        for heads in [[2, 2, 20], [6, 2, 20], [32, 1, 128]] {
            device.check(&Attend::new(heads, 130, Attend::row_run(124, 4)));
        }
        device.check(&Steps(Attend::new([6, 2, 20], 130, Attend::ragged(5, 130))));
    }
}

#[test]
fn windows_and_long_contexts() {
    let mut device = Device::open();
    for context in [1, 63, 64, 65, 300] {
        for window in [None, Some(1), Some(5), Some(64), Some(1000)] {
            let last = context as u32 - 1;
            let apart = vec![(last, 0), (0, 1), (last / 2, 2)];
            for places in [vec![(last, 0)], apart.clone(), Attend::row_run(0, context as u32)] {
                device.check(&Attend { window, ..Attend::new([4, 2, 20], context, places) });
            }
            device.check(&Steps(Attend { window, ..Attend::new([4, 2, 7], context, apart) }));
        }
    }
}

#[test]
fn hostile_queries() {
    let mut device = Device::open();
    for queries in Values::ALL {
        for places in [Attend::row_run(99, 1), Attend::row_run(88, 12)] {
            let case = Attend { queries, ..Attend::new([4, 2, 64], 100, places) };
            device.check(&case);
            device.check(&Steps(Attend { format: CacheFormat::F16, ..case }));
        }
    }
}

#[test]
fn what_heads_write() {
    let mut device = Device::open();
    for format in Format::ALL {
        let width = format.block().max(20);
        for (rows, shape) in [(1, [1, width, 5]), (3, [3, width, 77]), (9, [2, 2 * width, 64])] {
            device.check(&Heads { format, rows, shape });
        }
    }
}
