//! Choices as a function: what a device, its faults and its measurements lead to.

use std::collections::BTreeSet;

use super::{Choices, Fetch, Known, Lanes, Matmul, Reduce, Shape, Weight};
use crate::gpu::{BufferId, Caps, Need, Recording, Tensor};
use crate::names::Format;
use crate::ops::{Attention, Cache, CacheFormat, KERNELS, Linear, Mask, Op, PARTS, Store};

/// Devices that choose differently: without subgroups, with one size of them, and with several.
fn devices() -> Vec<Caps> {
    let subgroups =
        [None, Some((4, 4)), Some((8, 8)), Some((32, 32)), Some((4, 64)), Some((8, 32))];
    let software = |caps: Caps| [caps.clone(), Caps { software: true, ..caps }];
    let of = |subgroups| software(Caps { subgroups, f16: true, ..Caps::default() });
    subgroups.into_iter().flat_map(of).collect()
}

fn excluded(names: &[&str]) -> Known {
    let excluded = names.iter().map(|name| (*name).to_owned()).collect();
    Known { excluded, ..Known::default() }
}

/// The kernels and parts for which this holds of what they need, by name.
fn those(that: impl Fn(&[Need]) -> bool) -> Vec<&'static str> {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.needs));
    let all = kernels.chain(PARTS.iter().map(|part| (part.name, part.needs)));
    all.filter(|(_, needs)| that(needs)).map(|(name, _)| name).collect()
}

/// The names of the kernels and parts that some products and attention of one row run.
fn used(choices: &Choices) -> BTreeSet<&'static str> {
    let mut recording = Recording::new();
    for (rows, inputs) in [(1, 96), (1, 4096), (40, 96), (8, 576)] {
        let weight = Weight::named("w", Format::Q4_0, 64, inputs, u64::MAX);
        let (x, out) = (Tensor::lasting(rows, inputs), Tensor::lasting(rows, 64));
        let product = Linear { x, weight: &weight, bias: None, store: Store::Write, out };
        product.record(&mut recording, choices).unwrap();
    }
    let cache = Cache::named(CacheFormat::F32, [1, 512], [3, 64], u64::MAX);
    let (q, out) = (Tensor::lasting(1, 576), Tensor::lasting(1, 576));
    let (rows, cache) = (BufferId::fresh(), &cache);
    let mask = Mask { window: None, scale: 0.125, softcap: None };
    let attention = Attention { rows, q, cache, mask, out };
    attention.record(&mut recording, choices).unwrap();
    let parts = recording.dispatches().iter().flat_map(|dispatch| {
        let program = &dispatch.program;
        program.parts.iter().map(|part| part.name).chain([program.kernel.name])
    });
    parts.collect()
}

#[test]
fn nothing_excluded_is_ever_chosen() {
    let special = those(|needs| !needs.is_empty());
    for caps in devices() {
        for name in &special {
            let choices = Choices::new(&caps, excluded(&[name]));
            assert!(!used(&choices).contains(name), "{name} on {caps:?}");
        }
        let plain = Choices::new(&caps, excluded(&special));
        assert!(matches!(plain.reduce, Reduce::Workgroup(_)), "{plain:?}");
        assert!(matches!(plain.lanes, Lanes::Workgroup { .. } | Lanes::One(_)), "{plain:?}");
    }
}

#[test]
fn what_a_device_lacks_is_not_offered() {
    let special = those(|needs| needs.contains(&Need::Subgroups));
    for caps in devices().into_iter().filter(|caps| caps.subgroups.is_none()) {
        for choices in Choices::all(&caps) {
            for name in used(&choices) {
                assert!(!special.contains(&name), "{name}");
            }
        }
    }
}

#[test]
fn queries_are_passed_round_by_the_lanes_of_a_wide_vector_unit() {
    for (lanes, software, passed) in
        [(8, true, true), (16, true, true), (4, true, false), (8, false, false), (32, true, false)]
    {
        let caps = Caps { subgroups: Some((lanes, lanes)), software, ..Caps::default() };
        let names = used(&Choices::defaults(&caps));
        assert_eq!(names.contains("attention_split_passed"), passed, "{caps:?}");
        assert_eq!(names.contains("attention_split"), !passed, "{caps:?}");
    }
}

#[test]
fn narrow_rows_are_shared_by_fewer_lanes() {
    let caps = Caps { subgroups: Some((32, 32)), ..Caps::default() };
    let lanes = |choices: &Choices, inputs| {
        choices.lanes_for(&Weight::named("w", Format::Q4_1, 64, inputs, u64::MAX), 1)
    };
    let choices = Choices::defaults(&caps);
    // 18 and 48 words: three quarters of 32 lanes have work in the latter.
    assert_eq!(lanes(&choices, 576), Lanes::Subgroups { size: 64, lanes: 8 });
    assert_eq!(lanes(&choices, 1536), Lanes::Subgroup { size: 64, lanes: 32 });
    assert_eq!(lanes(&choices, 32), Lanes::Subgroups { size: 64, lanes: 4 });
    let choices = Choices::new(&caps, excluded(&["lanes_subgroups"]));
    assert_eq!(lanes(&choices, 576), Lanes::Subgroup { size: 64, lanes: 32 });
    let plain = Choices::defaults(&Caps::default());
    assert_eq!(lanes(&plain, 576), Lanes::Workgroup { size: 64, lanes: 8 });
}

#[test]
fn what_was_measured_counts_for_its_shape_and_changes_the_key() {
    let caps = Caps { f16: true, ..Caps::default() };
    let weight = Weight::named("w", Format::F16, 64, 512, u64::MAX);
    let mut known = Known::default();
    known.lanes.insert(Shape::new(&weight, 1).name(), Lanes::One(32));
    known.lanes.insert("f16 2x64x512".to_owned(), Lanes::Subgroup { size: 64, lanes: 32 });
    known.matmul.insert(Shape::new(&weight, 100).name(), Matmul::TiledHalf);
    let choices = Choices::new(&caps, known.clone());
    assert_eq!(choices.lanes_for(&weight, 1), Lanes::One(32));
    let default = Choices::defaults(&caps);
    // This device has no subgroups, and nobody asked for half floats.
    assert_eq!(choices.lanes_for(&weight, 2), default.lanes_for(&weight, 2));
    assert_eq!(choices.matmul_for(&weight, 128), Matmul::Tiled);
    let half = Choices::new(&caps, Known { half: true, ..known });
    assert_eq!(half.matmul_for(&weight, 128), Matmul::TiledHalf);
    assert_eq!(half.matmul_for(&weight, 64), Matmul::Tiled);
    let bad = Choices::new(&caps, excluded(&["reduce_subgroup"]));
    let keys: BTreeSet<String> =
        [&choices, &default, &half, &bad].map(|choices| choices.key()).into();
    assert_eq!(keys.len(), 4, "each has a key of its own");
    assert_eq!(default.key(), Choices::defaults(&caps).key());
}

#[test]
fn attention_goes_as_was_measured() {
    for caps in devices() {
        let default = Choices::defaults(&caps);
        let [first, second] = Fetch::candidates(&caps);
        assert_eq!((default.attention, default.chunk), (first, Choices::chunks(&caps)[0]));
        let known = Known { attention: Some(second), chunk: Some(128), ..Known::default() };
        let choices = Choices::new(&caps, known.clone());
        assert_eq!((choices.attention, choices.chunk), (second, 128));
        assert_ne!(choices.key(), default.key());
        assert_eq!(Choices::new(&caps, known.unmeasured()), default);
        for chunk in [0, 3, 1 << 20] {
            let choices = Choices::new(&caps, Known { chunk: Some(chunk), ..Known::default() });
            assert_eq!(choices, default, "chunks of {chunk}");
        }
    }
}

/// The record is a file, which anybody may have written.
#[test]
fn what_no_device_can_run_is_not_believed() {
    let weight = Weight::named("w", Format::F16, 64, 512, u64::MAX);
    let (one, many) = (Shape::new(&weight, 1).name(), Shape::new(&weight, 64).name());
    let (size, lanes) = (64, 0);
    for caps in devices() {
        let plain = Choices::defaults(&caps);
        let with = |lanes: Lanes, matmul, reduce| {
            let mut known = Known { reduce: Some(reduce), ..Known::default() };
            known.lanes.insert(one.clone(), lanes);
            known.matmul.insert(many.clone(), matmul);
            Choices::new(&caps, known)
        };
        let nothing = Matmul::Direct { n: 0, t: 1 };
        let huge = Matmul::Direct { n: 1 << 20, t: 1 << 20 };
        for (lanes, matmul, reduce) in [
            (Lanes::One(0), nothing, Reduce::Workgroup(0)),
            (Lanes::One(1 << 20), huge, Reduce::Workgroup(1 << 20)),
            (Lanes::Workgroup { size, lanes }, nothing, Reduce::Workgroup(3)),
            (Lanes::Subgroups { size, lanes: 128 }, huge, Reduce::Subgroup(7)),
            (Lanes::Rows { size, lanes: 2 }, huge, Reduce::Subgroups { size, least: 0 }),
            (Lanes::Subgroup { size, lanes: 16 }, huge, Reduce::Subgroups { size, least: 128 }),
        ] {
            let choices = with(lanes, matmul, reduce);
            assert_eq!(choices, plain, "{lanes:?}, {matmul:?}, {reduce:?} on {caps:?}");
        }
    }
}

#[test]
fn few_rows_and_few_columns_get_small_tiles() {
    let choices = Choices::defaults(&Caps::default());
    let of = |rows: &[usize], columns| {
        rows.iter().map(|rows| choices.tile(*rows, columns)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[9, 16, 17, 32, 33, 128], 1 << 16), [2, 2, 4, 4, 8, 8]);
    assert_eq!(of(&[128, 512, 4096], 768), [2, 2, 8]);
    assert_eq!(of(&[512, 4096, 16_384], 128), [2, 4, 8]);
    // What is tried is as high as its rows, however few its columns.
    let exact = Choices { exact: true, ..choices };
    assert_eq!([9, 20, 40].map(|rows| exact.tile(rows, 7)), [2, 4, 8]);
}
