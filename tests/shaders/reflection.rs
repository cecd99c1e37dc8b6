//! What ops bind against what kernels declare, and both against the limits that every device has.

use naga::{AddressSpace, StorageAccess};
use pellucid::config::Nonlinearity;
use pellucid::gpu::{Binding, BufferId, Caps, Dispatch, Recording, Tensor};
use pellucid::names::Format;
use pellucid::ops::{
    Activate, Add, Attention, Cache, CacheFormat, Choices, Columns, Embed, Gated, Gather, HeadNorm,
    LayerNorm, Linear, LogProb, Op, RmsNorm, Rope, Store, Weight,
};

use super::module::parse;

/// Devices that choose differently.
fn devices() -> [Caps; 4] {
    let subgroups = |size| Caps { subgroups: Some((size, size)), ..Caps::default() };
    [
        Caps::default(),
        subgroups(32),
        Caps { software: true, ..Caps::default() },
        Caps { software: true, ..subgroups(8) },
    ]
}

/// Every op over a sample of shapes.
fn record_all(recording: &mut Recording, choices: &Choices) {
    let rows = BufferId::fresh();
    let vector = |columns| Tensor::lasting(1, columns);
    for (count, width) in [(1, 64), (5, 96), (130, 768)] {
        let (x, out) = (recording.tensor(count, width), recording.tensor(count, width));
        for scaled in [false, true] {
            let affine = scaled.then(|| (vector(width), vector(width)));
            let gain = scaled.then(|| vector(width));
            record(recording, choices, LayerNorm { x, affine, eps: 1e-5, out });
            record(recording, choices, RmsNorm { x, gain, eps: 1e-5, out });
        }
        record(recording, choices, Add { x, out });
        let function = Nonlinearity::Gelu;
        record(recording, choices, Activate { x, function, out });
        let gate = Columns { of: x, start: 0, count: width / 2, step: 2 };
        let up = Columns { start: 1, ..gate };
        let half = recording.tensor(count, width / 2);
        record(recording, choices, Gated { gate, up, function, out: half });
        for index in [None, Some(BufferId::fresh())] {
            record(recording, choices, Gather { x: Columns::all(x), index, out });
        }
        let targets = BufferId::fresh();
        record(recording, choices, LogProb { logits: x, targets, out: BufferId::fresh() });
        for format in Format::ALL.into_iter().filter(|format| width % format.block() == 0) {
            let table = Weight::named("table", format, 1000, width, 64 << 10);
            for positions in [None, Some(Tensor::lasting(256, width))] {
                record(
                    recording,
                    choices,
                    Embed { rows, table: &table, scale: None, positions, out },
                );
            }
            linear(recording, choices, x, &table);
        }
    }
    for format in [CacheFormat::F32, CacheFormat::F16] {
        for (heads, kv_heads, width) in [(12, 12, 64), (9, 3, 64), (32, 4, 128), (5, 1, 7)] {
            attend(recording, choices, [heads, kv_heads, width], format);
        }
    }
}

/// Every store, with and without a bias.
fn linear(recording: &mut Recording, choices: &Choices, x: Tensor, weight: &Weight) {
    let width = weight.rows / 4 * 4 / 3 / 4 * 4;
    let cache = Cache::named(CacheFormat::F32, [1, 9], [1, width], u64::MAX);
    let straight = Store::Cache { rows: BufferId::fresh(), cache: &cache };
    for store in [
        Store::Write,
        Store::Add,
        Store::Apply(Nonlinearity::GeluTanh),
        Store::SoftCap(30.0),
        Store::Gated(Nonlinearity::Silu),
        straight,
    ] {
        if width == 0 && matches!(store, Store::Cache { .. }) {
            continue;
        }
        for bias in [None, Some(Tensor::lasting(1, weight.rows))] {
            let columns = match store {
                Store::Gated(_) => weight.rows / 2,
                Store::Cache { .. } => weight.rows - 2 * width,
                _ => weight.rows,
            };
            let out = recording.tensor(x.rows, columns);
            record(recording, choices, Linear { x, weight, bias, store, out });
        }
    }
}

/// Head norms, rotation and attention over joined queries, keys and values.
fn attend(
    recording: &mut Recording,
    choices: &Choices,
    [heads, kv_heads, width]: [usize; 3],
    format: CacheFormat,
) {
    for max_binding in [u64::MAX, (100 * 2 * kv_heads * width * 4) as u64] {
        let cache = Cache::named(format, [2, 300], [kv_heads, width], max_binding);
        assert_eq!(cache.parts.len() > 1, max_binding < u64::MAX);
        attend_over(recording, choices, heads, &cache);
    }
}

fn attend_over(recording: &mut Recording, choices: &Choices, heads: usize, cache: &Cache) {
    let (rows, kv_heads, width) = (BufferId::fresh(), cache.heads, cache.width);
    let (q_width, kv_width) = (heads * width, kv_heads * width);
    for count in [1, 8, 100] {
        let joined = recording.tensor(count, q_width + 2 * kv_width);
        let both = Columns::range(joined, 0, q_width + kv_width);
        let gains = Tensor::lasting(2, width);
        record(recording, choices, HeadNorm { x: both, queries: heads, gains, eps: 1e-6 });
        let q = Columns::range(joined, 0, q_width);
        let k = Columns::range(joined, q_width, kv_width);
        let v = Columns::range(joined, q_width + kv_width, kv_width);
        let (turned, z) = (recording.tensor(count, q_width), recording.tensor(count, q_width));
        for table in [None, Some((BufferId::fresh(), width / 2 * 2))] {
            record(recording, choices, Rope { rows, q, k, v, table, cache, out: turned });
        }
        for (window, softcap) in [(None, None), (Some(16), Some(50.0))] {
            let (q, scale) = (turned, 0.125);
            let attention = Attention { rows, q, cache, window, scale, softcap, out: z };
            record(recording, choices, attention);
        }
    }
}

fn record(recording: &mut Recording, choices: &Choices, op: impl Op) {
    op.record(recording, choices).expect("the sample's shapes fit");
}

#[test]
fn ops_bind_what_kernels_declare() {
    let mut seen = std::collections::HashSet::new();
    for caps in devices() {
        let mut recording = Recording::new();
        record_all(&mut recording, &Choices::defaults(&caps));
        for dispatch in recording.dispatches() {
            check_sharing(dispatch);
            // Dispatches that differ only in their buffers have the same layout.
            let layout: Vec<Vec<bool>> = dispatch
                .groups
                .iter()
                .map(|group| group.iter().map(|b| matches!(b, Binding::Write(_))).collect())
                .collect();
            let params = dispatch.params.len();
            if seen.insert(format!("{} {layout:?} {params}", dispatch.program.label())) {
                check(dispatch, &layout);
            }
        }
    }
    let recorded = |name: &str| seen.iter().any(|key| key.split([' ', '+']).next() == Some(name));
    let kernels = ["embed", "matvec", "matmul", "attention_merge", "log_prob"];
    assert!(kernels.iter().all(|name| recorded(name)), "the sample reaches the kernels");
}

/// No buffer is bound both to be read and to be written: devices refuse it.
fn check_sharing(dispatch: &Dispatch) {
    let bindings: Vec<Binding> = dispatch.groups.iter().flatten().copied().collect();
    for written in bindings.iter().filter(|binding| matches!(binding, Binding::Write(_))) {
        let times = bindings.iter().filter(|b| b.buffer() == written.buffer()).count();
        assert_eq!(times, 1, "{} binds {written:?} twice", dispatch.program.label());
    }
}

/// `writes` says of each storage buffer whether the op means it to be written.
fn check(dispatch: &Dispatch, writes: &[Vec<bool>]) {
    let label = dispatch.program.label();
    let parsed = parse(&dispatch.program);
    let module = &parsed.module;
    let mut declared = 0;
    for (_, global) in module.global_variables.iter() {
        let Some(binding) = &global.binding else { continue };
        let (group, slot) = (binding.group as usize, binding.binding as usize);
        let name = global.name.as_deref().unwrap_or_default();
        match global.space {
            AddressSpace::Uniform => {
                assert_eq!((group, slot), (0, 0), "{label}: the place of {name}");
                let size = module.types[global.ty].inner.size(module.to_ctx()) as usize;
                assert!(dispatch.params.len() >= size, "{label}: params have {size} bytes");
            }
            AddressSpace::Storage { access } => {
                declared += 1;
                let place = slot.wrapping_sub(usize::from(group == 0));
                let bound = writes.get(group).and_then(|group| group.get(place));
                let write = access.contains(StorageAccess::STORE);
                assert_eq!(bound, Some(&write), "{label}: group {group}, binding {slot}, {name}");
            }
            _ => panic!("{label}: {name} is bound in a space of its own"),
        }
    }
    let bound: usize = writes.iter().map(Vec::len).sum();
    assert_eq!(bound, declared, "{label}: as many buffers as declared");
    let limits = Caps::default();
    assert!(declared <= 8, "{label}: {declared} storage buffers");

    let resolved = parsed.resolve(&dispatch.program).module;
    let size: u32 = resolved.entry_points[0].workgroup_size.iter().product();
    assert!(size <= limits.max_invocations, "{label}: {size} invocations");
    let shared =
        resolved.global_variables.iter().filter(|(_, v)| v.space == AddressSpace::WorkGroup);
    let bytes: u32 = shared.map(|(_, v)| resolved.types[v.ty].inner.size(resolved.to_ctx())).sum();
    assert!(bytes <= limits.max_workgroup_bytes, "{label}: {bytes} bytes of workgroup memory");
}
