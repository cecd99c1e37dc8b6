//! Cases that must pass on it.

use std::collections::BTreeMap;

use pellucid::check::cases::Case;
use pellucid::check::{self, variant};
use pellucid::gpu::{Caps, Engine};
use pellucid::measure;
use pellucid::select::{KernelSelection, Lanes, LanesKind, Reduce};

use crate::shared::gpu;

/// An open device, the variants in use, and the largest error of each kernel so far.
pub(crate) struct Device {
    inner: check::Device,
    pub(crate) selection: KernelSelection,
    worst: BTreeMap<&'static str, f64>,
}

impl Device {
    pub(crate) fn open() -> Self {
        let gpu = gpu();
        let selection = KernelSelection { forced: true, ..KernelSelection::defaults(gpu.caps()) };
        let inner = check::Device::new(Engine::new(gpu), selection.clone());
        Self { inner, selection, worst: BTreeMap::new() }
    }

    pub(crate) fn caps(&self) -> &Caps {
        self.inner.engine.gpu().caps()
    }

    /// The lanes of a subgroup, least and most, where kernels may count on them.
    fn subgroups(&self) -> Option<(u32, u32)> {
        self.caps().subgroups
    }

    /// The same if all subgroups have the same size.
    fn subgroup(&self) -> Option<u32> {
        self.subgroups().filter(|(least, most)| least == most).map(|s| s.0)
    }

    /// Every way to reduce a row.
    pub(crate) fn reductions(&self) -> Vec<Reduce> {
        let mut all: Vec<Reduce> = [8, 64, 256].map(Reduce::Workgroup).to_vec();
        all.extend(self.subgroup().map(Reduce::WholeSubgroup));
        // The size of subgroups is fixed, but kernels may be given a smaller minimum, down to one
        // lane.
        if let Some((least, _)) = self.subgroups() {
            let joined = |(size, least)| Reduce::AcrossSubgroups { size, least };
            all.extend([(256, least), (64, least), (128, 1), (32, least.min(4))].map(joined));
        }
        all
    }

    /// Every way to share the rows of a matrix-vector product.
    pub(crate) fn lanes(&self) -> Vec<Lanes> {
        let mut all = vec![
            Lanes::one(8),
            Lanes { kind: LanesKind::Workgroup, size: 64, lanes: 32 },
            Lanes { kind: LanesKind::Workgroup, size: 32, lanes: 4 },
        ];
        all.extend(self.subgroup().map(|lanes| Lanes {
            kind: LanesKind::WholeSubgroup,
            size: lanes.max(64),
            lanes,
        }));
        all.extend(self.subgroup().map(|lanes| Lanes {
            kind: LanesKind::LanePerRow,
            size: 2 * lanes,
            lanes,
        }));
        if self.subgroups().is_some() {
            all.extend([4, 8, 16, 32].map(|lanes| Lanes {
                kind: LanesKind::AcrossSubgroups,
                size: 64,
                lanes,
            }));
        }
        all
    }

    /// Fails, with the case, unless every result agrees with the twin.
    #[track_caller]
    pub(crate) fn check(&mut self, case: &dyn Case) {
        self.inner.selection = self.selection.clone();
        let outcomes = pollster::block_on(case.attempt(&mut self.inner)).unwrap();
        assert!(!outcomes.is_empty(), "{case:?} checks nothing");
        for outcome in outcomes {
            let names: Vec<String> = outcome.programs.iter().map(variant).collect();
            let (error, reason) = (outcome.error, &outcome.reason);
            assert!(outcome.ok(), "off by {error:.1e}: {reason}\n{case:?}\n{}", names.join("\n"));
            for program in &outcome.programs {
                let worst = self.worst.entry(program.kernel.name).or_default();
                *worst = measure::largest([*worst, error]);
            }
        }
    }
}

/// Prints the largest error of each kernel when a test is done.
impl Drop for Device {
    fn drop(&mut self) {
        for (kernel, error) in &self.worst {
            println!("{kernel:<18} {error:.1e}");
        }
    }
}
