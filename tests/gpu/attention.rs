//! Attention over the cache: split for few rows, whole for many, and step by step.

use pellucid::check::Values;
use pellucid::check::cases::{
    Attention, AttentionBeyondF16, AttentionMix, AttentionResult, AttentionRows, AttentionScores,
    CacheRows, Softmax, SumHeads,
};
use pellucid::format::Format;
use pellucid::ops::CacheFormat;
use pellucid::select::AttentionTiling;

use crate::common::Device;

/// Both tilings for many rows.
const FETCHES: [AttentionTiling; 2] = [AttentionTiling::Direct, AttentionTiling::Tiled];

const CACHES: [CacheFormat; 2] = [CacheFormat::F32, CacheFormat::F16];

/// Checks a case, with both tilings if it has many rows.
#[track_caller]
fn check(device: &mut Device, case: &AttentionRows) {
    let few = case.positions.len() <= 8;
    for attention in FETCHES.into_iter().take(if few { 1 } else { 2 }) {
        device.selection.attention = attention;
        device.check(&Attention(case.clone()));
    }
}

/// Every head width and every number of query heads per key head.
#[test]
fn attention() {
    let mut device = Device::open();
    let mut reductions = device.reductions().into_iter().cycle();
    for heads in
        [[1, 1, 7], [4, 2, 16], [3, 1, 20], [9, 3, 64], [2, 2, 80], [8, 1, 128], [2, 1, 255]]
    {
        for format in CACHES {
            device.selection.reduce = reductions.next().unwrap_or(device.selection.reduce);
            let ragged = [1, 3, 8, 9, 40].map(|rows| AttentionRows::ragged(rows, 70));
            for positions in ragged.into_iter().chain([AttentionRows::row_run(31, 39)]) {
                let case = AttentionRows::new(heads, 70, positions);
                check(&mut device, &AttentionRows { format, ..case });
            }
        }
    }
}

#[test]
fn every_reduction() {
    let mut device = Device::open();
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        // Group sizes that fit one workgroup together, and one that does not.
        for heads in [[2, 2, 20], [6, 2, 20], [32, 1, 128]] {
            for chunk in [4, 64, 256] {
                device.selection.chunk = chunk;
                let positions = AttentionRows::row_run(124, 4);
                device.check(&Attention(AttentionRows::new(heads, 130, positions)));
            }
        }
    }
}

/// Contexts and windows, the last row, and rows far apart.
fn windows() -> impl Iterator<Item = (usize, Option<usize>, Vec<(u32, u32)>)> {
    let windows = [None, Some(1), Some(5), Some(64), Some(1000)];
    [1, 63, 64, 65, 300].into_iter().flat_map(move |context| {
        let last = context as u32 - 1;
        let apart = vec![(last, 0), (0, 1), (last / 2, 2)];
        windows.map(move |window| (context, window, apart.clone()))
    })
}

#[test]
fn windows_and_long_contexts() {
    let mut device = Device::open();
    for (context, window, apart) in windows() {
        let all = AttentionRows::row_run(0, context as u32);
        for positions in [vec![apart[0]], apart, all] {
            let case = AttentionRows::new([4, 2, 20], context, positions);
            check(&mut device, &AttentionRows { window, ..case });
        }
    }
}

/// Queries of all kinds, for one row and for many.
fn hostile() -> Vec<AttentionRows> {
    let of = |queries| {
        [AttentionRows::row_run(99, 1), AttentionRows::row_run(88, 12)].map(|positions| {
            AttentionRows { queries, ..AttentionRows::new([4, 2, 64], 100, positions) }
        })
    };
    Values::ALL.into_iter().flat_map(of).collect()
}

#[test]
fn hostile_queries() {
    let mut device = Device::open();
    for case in hostile() {
        check(&mut device, &case);
    }
}

/// Softcaps that change almost nothing, everything, and scores so large that only the cap remains.
fn soft_caps() -> Vec<AttentionRows> {
    let (plain, large) = (Values::Plain, Values::Large);
    let bends = [(50.0, plain), (0.5, plain), (0.01, plain), (30.0, large)];
    let of = |(softcap, queries)| {
        [
            AttentionRows::row_run(99, 1),
            AttentionRows::row_run(60, 20),
            AttentionRows::ragged(9, 70),
        ]
        .map(|positions| AttentionRows {
            scale: 0.7,
            softcap: Some(softcap),
            queries,
            ..AttentionRows::new([4, 2, 20], 100, positions)
        })
    };
    bends.into_iter().flat_map(of).collect()
}

#[test]
fn soft_caps_and_other_scales() {
    let mut device = Device::open();
    for case in soft_caps() {
        check(&mut device, &case);
    }
}

/// Parts so short that windows and tiles straddle them, and one long enough for a whole chunk.
fn parts() -> Vec<AttentionRows> {
    let mut cases = Vec::new();
    for (part, context) in [(4, 70), (17, 70), (300, 600)] {
        for window in [None, Some(3), Some(50)] {
            for format in CACHES {
                let last = context as u32 - 1;
                let ragged = |rows| AttentionRows::ragged(rows, last);
                let run = AttentionRows::row_run(last - 34, 34);
                for positions in [vec![(last, 0)], ragged(3), ragged(40), run] {
                    let case = AttentionRows::new([6, 2, 10], context, positions);
                    cases.push(AttentionRows { part, window, format, ..case });
                }
            }
        }
    }
    cases
}

#[test]
fn caches_in_parts() {
    let mut device = Device::open();
    for case in parts() {
        check(&mut device, &case);
    }
}

/// Rows that are all of different sequences: each has its own keys, so they are split like those of
/// few rows.
#[test]
fn batches_of_sequences() {
    let mut device = Device::open();
    let positions: Vec<_> = (0..20).map(|i| (i * 7 % 30, i)).collect();
    device.check(&Attention(AttentionRows::new([4, 2, 20], 30, positions)));
}

/// A key or a value that does not fit in f16 reaches what uses it in every kernel, whichever way softmax
/// and soft cap go; a key reaches nothing else.
#[test]
fn what_does_not_fit_in_f16_reaches_attention() {
    let mut device = Device::open();
    let few = [AttentionRows::row_run(99, 1), vec![(70, 0), (20, 0), (99, 1)]];
    // Tiles have a value for all of their rows, so all of these see it.
    let many = [AttentionRows::row_run(10, 64), AttentionRows::ragged(40, 70)];
    let keys = [1e5, -1e5, f32::NAN].map(|key| (33, [key, 0.5]));
    let values = [7e4, f32::INFINITY].map(|value| (10, [0.5, value]));
    let beyond = |positions: &Vec<(u32, u32)>, softcap, (at, given)| {
        let case = AttentionRows::new([4, 2, 20], 100, positions.clone());
        let rows = AttentionRows { format: CacheFormat::F16, softcap, ..case };
        AttentionBeyondF16 { rows, at, given }
    };
    for softcap in [None, Some(0.5)] {
        for reduce in device.reductions() {
            device.selection.reduce = reduce;
            for positions in &few {
                for given in keys.into_iter().chain(values) {
                    device.check(&beyond(positions, softcap, given));
                }
            }
        }
        for attention in FETCHES {
            device.selection.attention = attention;
            for given in keys {
                device.check(&beyond(&many[0], softcap, given));
                device.check(&beyond(&many[1], softcap, given));
            }
            for given in values {
                device.check(&beyond(&many[0], softcap, given));
            }
        }
    }
}

/// The cases of the unfused steps of attention, which run when their values are read.
fn steps() -> impl Iterator<Item = AttentionRows> {
    let windows = windows().map(|(context, window, apart)| AttentionRows {
        window,
        ..AttentionRows::new([4, 2, 7], context, apart)
    });
    let short = |case| AttentionRows { format: CacheFormat::F16, ..case };
    let shared = AttentionRows::new([6, 2, 20], 130, AttentionRows::ragged(5, 130));
    let all = windows.chain(hostile().into_iter().map(short)).chain(soft_caps()).chain(parts());
    all.chain([shared])
}

#[test]
fn attention_scores() {
    let mut device = Device::open();
    for case in steps() {
        device.check(&AttentionScores(case));
    }
}

#[test]
fn softmax() {
    let mut device = Device::open();
    for case in steps() {
        device.check(&Softmax(case));
    }
    for reduce in device.reductions() {
        device.selection.reduce = reduce;
        let positions = AttentionRows::ragged(5, 130);
        device.check(&Softmax(AttentionRows::new([6, 2, 20], 130, positions)));
    }
}

#[test]
fn attention_mix() {
    let mut device = Device::open();
    for case in steps() {
        device.check(&AttentionMix(case));
    }
}

#[test]
fn cache_rows() {
    let mut device = Device::open();
    for case in steps().map(CacheRows).chain(CacheRows::table()) {
        device.check(&case);
    }
}

/// Heads whose columns begin and end within a word of the output projection.
#[test]
fn attention_result() {
    let mut device = Device::open();
    for format in Format::ALL {
        for (rows, shape) in [(1, [4, 64, 7]), (3, [8, 64, 70]), (5, [64, 12, 18])] {
            for part in [None, Some(16)] {
                device.check(&AttentionResult { format, rows, shape, part });
            }
        }
    }
    for (rows, shape) in [(1, [1, 1, 1]), (2, [12, 4, 769]), (40, [3, 4, 1030])] {
        device.check(&AttentionResult { format: Format::F32, rows, shape, part: None });
    }
}

#[test]
fn sum_heads() {
    let mut device = Device::open();
    for (rows, heads, columns) in
        [(1, 4, 7), (3, 8, 70), (5, 64, 18), (1, 1, 1), (2, 12, 769), (40, 3, 1030)]
    {
        device.check(&SumHeads { rows, heads, columns });
    }
}
