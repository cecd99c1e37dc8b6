//! Attention over the cache: split for few rows, whole for many, and step by step.

use pellucid::check::Values;
use pellucid::check::cases::{Attend, Heads, Steps};
use pellucid::names::Format;
use pellucid::ops::{CacheFormat, Fetch};

use crate::common::Device;

/// Both ways to attend with many rows.
const FETCHES: [Fetch; 2] = [Fetch::Direct, Fetch::Tiled];

/// Tries a case, with both fetches if it has many rows.
#[track_caller]
fn check(device: &mut Device, case: &Attend) {
    let few = case.places.len() <= 8;
    for attention in FETCHES.into_iter().take(if few { 1 } else { 2 }) {
        device.choices.attention = attention;
        device.check(case);
    }
}

#[test]
fn head_widths_and_sharing() {
    let mut device = Device::open();
    let mut reductions = device.reductions().into_iter().cycle();
    for heads in
        [[1, 1, 7], [4, 2, 16], [3, 1, 20], [9, 3, 64], [2, 2, 80], [8, 1, 128], [2, 1, 255]]
    {
        for format in [CacheFormat::F32, CacheFormat::F16] {
            device.choices.reduce = reductions.next().unwrap_or(device.choices.reduce);
            let ragged = [1, 3, 8, 9, 40].map(|rows| Attend::ragged(rows, 70));
            for places in ragged.into_iter().chain([Attend::row_run(31, 39)]) {
                check(&mut device, &Attend { format, ..Attend::new(heads, 70, places) });
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
            for chunk in [4, 64, 256] {
                device.choices.chunk = chunk;
                device.check(&Attend::new(heads, 130, Attend::row_run(124, 4)));
            }
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
                check(&mut device, &Attend { window, ..Attend::new([4, 2, 20], context, places) });
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
            check(&mut device, &case);
            device.check(&Steps(Attend { format: CacheFormat::F16, ..case }));
        }
    }
}

/// Caps that bend hardly anything, everything, and scores so large that only the cap remains.
#[test]
fn soft_caps_and_other_scales() {
    let mut device = Device::open();
    let (plain, large) = (Values::Plain, Values::Large);
    let bends = [(50.0, plain), (0.5, plain), (0.01, plain), (30.0, large)];
    for (softcap, queries) in bends {
        for places in [Attend::row_run(99, 1), Attend::row_run(60, 20), Attend::ragged(9, 70)] {
            let case = Attend::new([4, 2, 20], 100, places);
            let case = Attend { scale: 0.7, softcap: Some(softcap), queries, ..case };
            check(&mut device, &case);
            device.check(&Steps(case));
        }
    }
}

/// Parts so short that windows and tiles straddle them, and one long enough for a whole chunk.
#[test]
fn caches_in_parts() {
    let mut device = Device::open();
    for (part, context) in [(4, 70), (17, 70), (300, 600)] {
        for window in [None, Some(3), Some(50)] {
            for format in [CacheFormat::F32, CacheFormat::F16] {
                let last = context as u32 - 1;
                let ragged = |rows| Attend::ragged(rows, last);
                for places in
                    [vec![(last, 0)], ragged(3), ragged(40), Attend::row_run(last - 34, 34)]
                {
                    let case = Attend::new([6, 2, 10], context, places);
                    let case = Attend { part, window, format, ..case };
                    check(&mut device, &case);
                    device.check(&Steps(case));
                }
            }
        }
    }
}

/// Rows of as many sequences: each has keys of its own, so they are split as those of few rows.
#[test]
fn batches_of_sequences() {
    let mut device = Device::open();
    let places: Vec<_> = (0..20).map(|i| (i * 7 % 30, i)).collect();
    device.check(&Attend::new([4, 2, 20], 30, places));
}

/// Heads whose columns begin and end within a word of the output map, and sums of them.
#[test]
fn what_heads_write() {
    let mut device = Device::open();
    for format in Format::ALL {
        for (rows, shape) in [(1, [4, 64, 7]), (3, [8, 64, 70]), (5, [64, 12, 18])] {
            for part in [None, Some(16)] {
                device.check(&Heads { format, rows, shape, part });
            }
        }
    }
    for (rows, shape) in [(1, [1, 1, 1]), (2, [12, 4, 769]), (40, [3, 4, 1030])] {
        device.check(&Heads { format: Format::F32, rows, shape, part: None });
    }
}
