//! The selection as a function: what a device, its faults and its measurements lead to.

use std::collections::BTreeSet;

use super::LanesKind::{AcrossSubgroups, LanePerRow, One, WholeSubgroup, Workgroup};
use super::{
    AttentionTiling, DeviceProfile, KERNELS, KernelSelection, Lanes, LanesKind, Matmul, PARTS,
    Reduce,
};
use crate::format::Format;
use crate::gpu::{BufferId, Caps, Need, Recording, Tensor};
use crate::ops::{Attention, Cache, CacheFormat, Epilogue, Linear, Mask, Op, Weight};

/// Devices that lead to different choices: without subgroups, with one size of them, and with
/// several.
fn devices() -> Vec<Caps> {
    let subgroups =
        [None, Some((4, 4)), Some((8, 8)), Some((32, 32)), Some((4, 64)), Some((8, 32))];
    let software = |caps: Caps| [caps.clone(), Caps { software: true, ..caps }];
    let of = |subgroups| software(Caps { subgroups, f16: true, ..Caps::default() });
    subgroups.into_iter().flat_map(of).collect()
}

/// Lanes of this kind.
fn shared(kind: LanesKind, size: u32, lanes: u32) -> Lanes {
    Lanes { kind, size, lanes }
}

fn excluded(names: &[&str]) -> DeviceProfile {
    let excluded = names.iter().map(|name| (*name).to_owned()).collect();
    DeviceProfile { excluded, ..DeviceProfile::default() }
}

/// The kernels and parts for which this holds of what they need, by name.
fn those(that: impl Fn(&[Need]) -> bool) -> Vec<&'static str> {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.needs));
    let all = kernels.chain(PARTS.iter().map(|part| (part.name, part.needs)));
    all.filter(|(_, needs)| that(needs)).map(|(name, _)| name).collect()
}

/// The names of the kernels and parts that some products and attention of one row run.
fn used(selection: &KernelSelection) -> BTreeSet<&'static str> {
    let mut recording = Recording::new();
    for (rows, inputs) in [(1, 96), (1, 4096), (40, 96), (8, 576)] {
        let weight = Weight::named("w", Format::Q4_0, 64, inputs, u64::MAX);
        let (x, out) = (Tensor::persistent(rows, inputs), Tensor::persistent(rows, 64));
        let product = Linear { x, weight: &weight, bias: None, epilogue: Epilogue::Write, out };
        product.record(&mut recording, selection).unwrap();
    }
    let cache = Cache::named(CacheFormat::F32, [1, 512], [3, 64], u64::MAX);
    let (q, out) = (Tensor::persistent(1, 576), Tensor::persistent(1, 576));
    let (rows, cache) = (BufferId::fresh(), &cache);
    let mask = Mask { window: None, scale: 0.125, softcap: None };
    let attention = Attention { rows, q, cache, mask, out };
    attention.record(&mut recording, selection).unwrap();
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
            let selection = KernelSelection::new(&caps, excluded(&[name]));
            assert!(!used(&selection).contains(name), "{name} on {caps:?}");
        }
        let plain = KernelSelection::new(&caps, excluded(&special));
        assert!(matches!(plain.reduce, Reduce::Workgroup(_)), "{plain:?}");
        assert!(matches!(plain.lanes.kind, Workgroup | One), "{plain:?}");
    }
}

#[test]
fn what_a_device_lacks_is_not_offered() {
    let special = those(|needs| needs.contains(&Need::Subgroups));
    for caps in devices().into_iter().filter(|caps| caps.subgroups.is_none()) {
        for selection in KernelSelection::all(&caps) {
            for name in used(&selection) {
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
        let names = used(&KernelSelection::defaults(&caps));
        assert_eq!(names.contains("attention_split_shuffle"), passed, "{caps:?}");
        assert_eq!(names.contains("attention_split"), !passed, "{caps:?}");
    }
}

#[test]
fn narrow_rows_are_shared_by_fewer_lanes() {
    let caps = Caps { subgroups: Some((32, 32)), ..Caps::default() };
    let lanes = |selection: &KernelSelection, inputs| {
        selection.lanes_for(Weight::named("w", Format::Q4_1, 64, inputs, u64::MAX).shape(1))
    };
    let selection = KernelSelection::defaults(&caps);
    // 18 and 48 words: three quarters of 32 lanes have work in the latter.
    assert_eq!(lanes(&selection, 576), shared(AcrossSubgroups, 64, 8));
    assert_eq!(lanes(&selection, 1536), shared(WholeSubgroup, 64, 32));
    assert_eq!(lanes(&selection, 32), shared(AcrossSubgroups, 64, 4));
    let selection = KernelSelection::new(&caps, excluded(&["lanes_subgroups"]));
    assert_eq!(lanes(&selection, 576), shared(WholeSubgroup, 64, 32));
    let plain = KernelSelection::defaults(&Caps::default());
    assert_eq!(lanes(&plain, 576), shared(Workgroup, 64, 8));
}

#[test]
fn what_was_measured_counts_for_its_shape_and_changes_the_key() {
    let caps = Caps { f16: true, ..Caps::default() };
    let weight = Weight::named("w", Format::F16, 64, 512, u64::MAX);
    let mut profile = DeviceProfile::default();
    profile.lanes.insert(weight.shape(1), Lanes::one(32));
    profile.lanes.insert("f16 2x64x512".parse().unwrap(), shared(WholeSubgroup, 64, 32));
    profile.matmul.insert(weight.shape(100), Matmul::TiledF16);
    let selection = KernelSelection::new(&caps, profile.clone());
    assert_eq!(selection.lanes_for(weight.shape(1)), Lanes::one(32));
    let default = KernelSelection::defaults(&caps);
    // This device has no subgroups, and f16 was not asked for.
    assert_eq!(selection.lanes_for(weight.shape(2)), default.lanes_for(weight.shape(2)));
    assert_eq!(selection.matmul_for(weight.shape(128)), Matmul::Tiled);
    let half = KernelSelection::new(&caps, DeviceProfile { f16: true, ..profile });
    assert_eq!(half.matmul_for(weight.shape(128)), Matmul::TiledF16);
    assert_eq!(half.matmul_for(weight.shape(64)), Matmul::Tiled);
    let bad = KernelSelection::new(&caps, excluded(&["reduce_subgroup"]));
    let keys: BTreeSet<String> =
        [&selection, &default, &half, &bad].map(|selection| selection.key()).into();
    assert_eq!(keys.len(), 4, "each has a key of its own");
    assert_eq!(default.key(), KernelSelection::defaults(&caps).key());
}

#[test]
fn attention_goes_as_was_measured() {
    for caps in devices() {
        let default = KernelSelection::defaults(&caps);
        let [first, second] = AttentionTiling::candidates(&caps);
        assert_eq!((default.attention, default.chunk), (first, KernelSelection::chunks(&caps)[0]));
        let profile =
            DeviceProfile { attention: Some(second), chunk: Some(128), ..DeviceProfile::default() };
        let selection = KernelSelection::new(&caps, profile.clone());
        assert_eq!((selection.attention, selection.chunk), (second, 128));
        assert_ne!(selection.key(), default.key());
        assert_eq!(KernelSelection::new(&caps, profile.unmeasured()), default);
        for chunk in [0, 3, 1 << 20] {
            let selection = KernelSelection::new(
                &caps,
                DeviceProfile { chunk: Some(chunk), ..DeviceProfile::default() },
            );
            assert_eq!(selection, default, "chunks of {chunk}");
        }
    }
}

/// The record is a file, which anyone may have edited.
#[test]
fn what_no_device_can_run_is_not_believed() {
    let weight = Weight::named("w", Format::F16, 64, 512, u64::MAX);
    let (one, many) = (weight.shape(1), weight.shape(64));
    let (size, lanes) = (64, 0);
    for caps in devices() {
        let plain = KernelSelection::defaults(&caps);
        let with = |lanes: Lanes, matmul, reduce| {
            let mut profile = DeviceProfile { reduce: Some(reduce), ..DeviceProfile::default() };
            profile.lanes.insert(one, lanes);
            profile.matmul.insert(many, matmul);
            KernelSelection::new(&caps, profile)
        };
        let nothing = Matmul::Direct { n: 0, t: 1 };
        let huge = Matmul::Direct { n: 1 << 20, t: 1 << 20 };
        for (lanes, matmul, reduce) in [
            (Lanes::one(0), nothing, Reduce::Workgroup(0)),
            (Lanes::one(1 << 20), huge, Reduce::Workgroup(1 << 20)),
            (shared(Workgroup, size, lanes), nothing, Reduce::Workgroup(3)),
            (shared(AcrossSubgroups, size, 128), huge, Reduce::WholeSubgroup(7)),
            (shared(LanePerRow, size, 2), huge, Reduce::AcrossSubgroups { size, least: 0 }),
            (shared(WholeSubgroup, size, 16), huge, Reduce::AcrossSubgroups { size, least: 128 }),
        ] {
            let selection = with(lanes, matmul, reduce);
            assert_eq!(selection, plain, "{lanes:?}, {matmul:?}, {reduce:?} on {caps:?}");
        }
    }
}

#[test]
fn few_rows_and_few_columns_get_small_tiles() {
    let selection = KernelSelection::defaults(&Caps::default());
    let of = |rows: &[usize], columns| {
        rows.iter().map(|rows| selection.tile(*rows, columns)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[9, 16, 17, 32, 33, 128], 1 << 16), [2, 2, 4, 4, 8, 8]);
    assert_eq!(of(&[128, 512, 4096], 768), [2, 2, 8]);
    assert_eq!(of(&[512, 4096, 16_384], 128), [2, 4, 8]);
    // A tile under test is as high as its rows allow, however few its columns.
    let forced = KernelSelection { forced: true, ..selection };
    assert_eq!([9, 20, 40].map(|rows| forced.tile(rows, 7)), [2, 4, 8]);
}
