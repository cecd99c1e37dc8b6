//! The variants that kernels come in: parts, numbers, and sometimes a separate kernel.
//!
//! Each kind lists its candidates for a device, the default first, and says whether a device can
//! run it: a profile is read from a file, which anyone may have edited.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gpu::{Caps, Need, Program};

use super::registry::{KERNELS, PARTS, kernel, part};

/// How a workgroup reduces a row to a sum or a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduce {
    /// Through workgroup memory, with this many invocations.
    Workgroup(u32),
    /// The workgroup is one subgroup of this many lanes.
    WholeSubgroup(u32),
    /// Within subgroups of any size, then across them.
    AcrossSubgroups {
        /// Invocations in a workgroup.
        size: u32,
        /// The least lanes of a subgroup.
        least: u32,
    },
}

/// How the invocations of a matrix-vector product share the rows of W.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lanes {
    /// How they work together.
    pub kind: LanesKind,
    /// Invocations in a workgroup.
    pub size: u32,
    /// Invocations that share a row; 1 if each works alone.
    pub lanes: u32,
}

/// How invocations that share rows work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LanesKind {
    /// Each works alone.
    One,
    /// Each takes its own row, and the lanes of a subgroup shuffle the values of x.
    LanePerRow,
    /// Neighbors in a workgroup reduce through workgroup memory.
    Workgroup,
    /// The lanes of a subgroup reduce.
    WholeSubgroup,
    /// Neighbors reduce within subgroups of any size, then across them.
    AcrossSubgroups,
}

/// How a product of many rows is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matmul {
    /// Straight from storage: `n` x `t` invocations with 8 x 8 outputs each.
    Direct {
        /// Invocations along the outputs of a row.
        n: u32,
        /// Invocations along the rows.
        t: u32,
    },
    /// Through workgroup memory: tiles of 64 outputs by 64 rows, or by fewer where most of the
    /// device would idle.
    Tiled,
    /// The same with values and products in f16, reduced in f32.
    TiledF16,
}

/// How attention of many rows loads keys and values, which several rows use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttentionTiling {
    /// Straight from storage.
    Direct,
    /// Through workgroup memory.
    Tiled,
}

/// Whether a device has what the kernel or part of this name needs.
pub(super) fn offers(caps: &Caps, name: &str) -> bool {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.needs));
    let mut all = kernels.chain(PARTS.iter().map(|part| (part.name, part.needs)));
    let needs = all.find(|(known, _)| *known == name).map_or(&[][..], |(_, needs)| needs);
    needs.iter().all(|need| match need {
        Need::Subgroups => caps.subgroups.is_some(),
        Need::F16 => caps.f16,
    })
}

/// The lanes of a subgroup, if all subgroups of the device have the same size.
fn subgroup_lanes(caps: &Caps) -> Option<u32> {
    caps.subgroups.filter(|(least, most)| least == most).map(|(size, _)| size)
}

impl AttentionTiling {
    /// The variants worth trying on a device, its default first. Where lanes are the vector units of a
    /// core, barriers cost more than loads.
    pub fn candidates(caps: &Caps) -> [Self; 2] {
        if caps.software { [Self::Direct, Self::Tiled] } else { [Self::Tiled, Self::Direct] }
    }
}

impl Matmul {
    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        let direct = |n, t| Self::Direct { n, t };
        let mut all = if caps.software {
            vec![direct(8, 1), direct(8, 8), Self::Tiled]
        } else {
            vec![Self::Tiled, direct(8, 8), direct(8, 2), direct(2, 16)]
        };
        all.extend(caps.f16.then_some(Self::TiledF16));
        all
    }

    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        match self {
            Self::Direct { n, t } => {
                n > 0 && t > 0 && n.checked_mul(t).is_some_and(|size| size <= caps.max_invocations)
            }
            Self::Tiled | Self::TiledF16 => true,
        }
    }

    /// The kernel with its numbers, and the outputs and rows (n, t) of one workgroup; `tile` is what
    /// [`KernelSelection::tile`](super::KernelSelection::tile) gives.
    pub(crate) fn program(self, tile: usize) -> (Program, usize, usize) {
        match self {
            Self::Direct { n, t } => {
                let program =
                    Program::new(kernel("matmul")).constant("WG_N", n).constant("WG_T", t);
                (program, 8 * n as usize, 8 * t as usize)
            }
            Self::Tiled | Self::TiledF16 => {
                let values = part(if self == Self::Tiled { "tile_f32" } else { "tile_f16" });
                let program = Program::new(kernel("matmul_tiled")).part(values);
                (program.constant("TILE", tile as f64), 64, 8 * tile)
            }
        }
    }
}

impl Reduce {
    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        let large = 256.min(caps.max_invocations);
        let mut all = Vec::new();
        if caps.software {
            all.extend(subgroup_lanes(caps).map(Self::WholeSubgroup));
            all.extend([16, large].map(Self::Workgroup));
        }
        if let Some((least, _)) = caps.subgroups {
            all.push(Self::AcrossSubgroups { size: large, least: least.max(1) });
        }
        if !caps.software {
            all.extend([large, 64].map(Self::Workgroup));
            all.extend(subgroup_lanes(caps).map(Self::WholeSubgroup));
        }
        all
    }

    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let whole = |size: u32| size.is_power_of_two() && size <= caps.max_invocations;
        match self {
            Self::Workgroup(size) => whole(size),
            Self::WholeSubgroup(size) => whole(size) && subgroup_lanes(caps) == Some(size),
            Self::AcrossSubgroups { size, least } => {
                let known = caps.subgroups.is_some_and(|(smallest, _)| least <= smallest);
                whole(size) && least.is_power_of_two() && least <= size && known
            }
        }
    }

    /// Invocations of a workgroup.
    pub(crate) fn size(self) -> u32 {
        match self {
            Self::Workgroup(size)
            | Self::WholeSubgroup(size)
            | Self::AcrossSubgroups { size, .. } => size,
        }
    }

    /// The same with at most `most` invocations.
    pub(super) fn at_most(self, most: u32) -> Self {
        match self {
            Self::Workgroup(size) => Self::Workgroup(size.min(most)),
            Self::AcrossSubgroups { size, least } => {
                Self::AcrossSubgroups { size: size.min(most).max(least), least }
            }
            subgroup @ Self::WholeSubgroup(_) => subgroup,
        }
    }

    /// The part that fills a kernel's slot `reduce`.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::Workgroup(_) => "reduce_workgroup",
            Self::WholeSubgroup(_) => "reduce_subgroup",
            Self::AcrossSubgroups { .. } => "reduce_subgroups",
        }
    }

    /// Fills a kernel's `reduce` slot.
    pub(crate) fn apply(self, program: Program) -> Program {
        let program = program.part(part(self.part())).constant("WG", self.size());
        match self {
            Self::Workgroup(_) | Self::WholeSubgroup(_) => program,
            Self::AcrossSubgroups { least, .. } => program.constant("LEAST", least),
        }
    }
}

impl Lanes {
    /// Each invocation alone, in workgroups of this size.
    pub fn one(size: u32) -> Self {
        Self { kind: LanesKind::One, size, lanes: 1 }
    }

    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        use LanesKind::{AcrossSubgroups, LanePerRow, WholeSubgroup, Workgroup};

        let size = caps.max_invocations.min(64);
        let shared = |kind| move |lanes| Self { kind, size, lanes };
        let (workgroup, across) = (shared(Workgroup), shared(AcrossSubgroups));
        let whole = |kind| move |lanes: u32| Self { kind, size: lanes.max(size), lanes };
        let mut all = Vec::new();
        if caps.software {
            let per_row = |lanes| Self { kind: LanePerRow, size: lanes, lanes };
            all.extend(subgroup_lanes(caps).map(per_row));
            all.push(Self::one(8));
            all.extend(subgroup_lanes(caps).map(whole(WholeSubgroup)));
            all.extend([across(8), workgroup(32)]);
        } else {
            all.extend(subgroup_lanes(caps).map(whole(WholeSubgroup)));
            all.extend([across(32), workgroup(32), across(8), across(16)]);
            all.extend([workgroup(8), workgroup(16), Self::one(64)]);
            all.extend(subgroup_lanes(caps).map(whole(LanePerRow)));
        }
        all
    }

    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let Self { kind, size, lanes } = self;
        let whole = lanes.is_power_of_two()
            && size.is_multiple_of(lanes)
            && (1..=caps.max_invocations).contains(&size);
        whole
            && match kind {
                LanesKind::One => lanes == 1,
                LanesKind::LanePerRow => lanes >= 4 && subgroup_lanes(caps) == Some(lanes),
                LanesKind::WholeSubgroup => subgroup_lanes(caps) == Some(lanes),
                LanesKind::Workgroup | LanesKind::AcrossSubgroups => true,
            }
    }

    /// The kernel of this variant.
    pub(crate) fn kernel(self) -> &'static str {
        match self.kind {
            LanesKind::LanePerRow => "matvec_shuffle",
            _ => "matvec",
        }
    }

    /// The part that fills the kernel's slot `lanes`; `None` if it has no such slot.
    fn part(self) -> Option<&'static str> {
        match self.kind {
            LanesKind::One => Some("lanes_one"),
            LanesKind::LanePerRow => None,
            LanesKind::Workgroup => Some("lanes_workgroup"),
            LanesKind::WholeSubgroup => Some("lanes_subgroup"),
            LanesKind::AcrossSubgroups => Some("lanes_subgroups"),
        }
    }

    /// The kernel or part under whose name this variant is excluded.
    pub(super) fn rests_on(self) -> &'static str {
        self.part().unwrap_or(self.kernel())
    }

    /// Fills a kernel's `lanes` slot.
    pub(crate) fn apply(self, program: Program) -> Program {
        let program = match self.part() {
            Some(name) => program.part(part(name)),
            None => program,
        };
        let program = program.constant("WG", self.size);
        match self.kind {
            LanesKind::One => program,
            _ => program.constant("LANES", self.lanes),
        }
    }

    /// How many groups of rows one workgroup covers: each invocation has its own if it works alone
    /// or takes its own row.
    pub(crate) fn groups(self) -> usize {
        match self.kind {
            LanesKind::One | LanesKind::LanePerRow => self.size as usize,
            _ => (self.size / self.lanes) as usize,
        }
    }
}

/// Such as `WholeSubgroup 64/32`: the kind, invocations of a workgroup, and those that share a row.
impl fmt::Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}/{}", self.kind, self.size, self.lanes)
    }
}
