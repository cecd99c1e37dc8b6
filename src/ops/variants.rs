//! The variants that kernels come in: parts, numbers, and sometimes a sibling.

use serde::{Deserialize, Serialize};

use crate::gpu::{Caps, Need, Program};

use super::{KERNELS, PARTS, kernel, part};

/// How a workgroup sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduce {
    /// Through workgroup memory, with this many invocations.
    Workgroup(u32),
    /// The workgroup is one subgroup of this many lanes.
    WholeSubgroup(u32),
    /// Within subgroups of any size, then over them.
    AcrossSubgroups {
        /// Invocations in a workgroup.
        size: u32,
        /// The least lanes of a subgroup.
        least: u32,
    },
}

/// How invocations share the rows of a matrix-vector product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lanes {
    /// Each works alone, in workgroups of this size.
    One(u32),
    /// Each works alone, in workgroups of `size`; the lanes of a subgroup pass the values of x round.
    LanePerRow {
        /// Invocations in a workgroup.
        size: u32,
        /// Lanes of a subgroup, 4 or more.
        lanes: u32,
    },
    /// `lanes` neighbours of a workgroup share rows and sum through workgroup memory.
    Workgroup {
        /// Invocations in a workgroup.
        size: u32,
        /// Invocations that share rows.
        lanes: u32,
    },
    /// The lanes of a subgroup share rows.
    WholeSubgroup {
        /// Invocations in a workgroup.
        size: u32,
        /// Lanes of a subgroup.
        lanes: u32,
    },
    /// `lanes` neighbours share rows and sum within subgroups of any size, then over them.
    AcrossSubgroups {
        /// Invocations in a workgroup.
        size: u32,
        /// Invocations that share rows.
        lanes: u32,
    },
}

/// How a product of many rows is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Matmul {
    /// Straight from storage: `n` x `t` invocations with 8 x 8 outputs each.
    Direct {
        /// Invocations along the outputs of a row.
        n: u32,
        /// Invocations along the rows.
        t: u32,
    },
    /// Through workgroup memory: tiles of 64 outputs by 64 rows, or by fewer where a device would idle.
    Tiled,
    /// The same with values and products in half floats, summed in f32.
    TiledHalf,
}

/// How a kernel of many rows fetches what several of them use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttentionTiling {
    /// Straight from storage.
    Direct,
    /// Through workgroup memory.
    Tiled,
}

/// Whether a device has what a kernel or a part of this name needs.
pub(super) fn offers(caps: &Caps, name: &str) -> bool {
    let kernels = KERNELS.iter().map(|kernel| (kernel.name, kernel.needs));
    let mut all = kernels.chain(PARTS.iter().map(|part| (part.name, part.needs)));
    let needs = all.find(|(known, _)| *known == name).map_or(&[][..], |(_, needs)| needs);
    needs.iter().all(|need| match need {
        Need::Subgroups => caps.subgroups.is_some(),
        Need::F16 => caps.f16,
    })
}

impl AttentionTiling {
    /// The variants worth trying on a device, its default first.
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
        all.extend(caps.f16.then_some(Self::TiledHalf));
        all
    }

    /// The kernel, its numbers, and the outputs and rows (n, t) of one workgroup; `tile` is what
    /// [`KernelSelection::tile`](super::KernelSelection::tile) gives.
    pub(super) fn program(self, tile: usize) -> (Program, usize, usize) {
        match self {
            Self::Direct { n, t } => {
                let program =
                    Program::new(kernel("matmul")).constant("WG_N", n).constant("WG_T", t);
                (program, 8 * n as usize, 8 * t as usize)
            }
            Self::Tiled | Self::TiledHalf => {
                let values = part(if self == Self::Tiled { "tile_f32" } else { "tile_f16" });
                let program = Program::new(kernel("matmul_tiled")).part(values);
                (program.constant("TILE", tile as f64), 64, 8 * tile)
            }
        }
    }
}

/// The lanes of every subgroup, where all have as many.
pub(super) fn fixed(caps: &Caps) -> Option<u32> {
    caps.subgroups.filter(|(least, most)| least == most).map(|(size, _)| size)
}

impl Reduce {
    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        let large = 256.min(caps.max_invocations);
        let mut all = Vec::new();
        if caps.software {
            all.extend(fixed(caps).map(Self::WholeSubgroup));
            all.extend([16, large].map(Self::Workgroup));
        }
        if let Some((least, _)) = caps.subgroups {
            all.push(Self::AcrossSubgroups { size: large, least: least.max(1) });
        }
        if !caps.software {
            all.extend([large, 64].map(Self::Workgroup));
            all.extend(fixed(caps).map(Self::WholeSubgroup));
        }
        all
    }

    /// Invocations of a workgroup.
    pub(super) fn size(self) -> u32 {
        match self {
            Self::Workgroup(size)
            | Self::WholeSubgroup(size)
            | Self::AcrossSubgroups { size, .. } => size,
        }
    }

    /// The same with at most so many invocations.
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
    pub(super) fn apply(self, program: Program) -> Program {
        let program = program.part(part(self.part()));
        match self {
            Self::Workgroup(size) | Self::WholeSubgroup(size) => program.constant("WG", size),
            Self::AcrossSubgroups { size, least } => {
                program.constant("WG", size).constant("LEAST", least)
            }
        }
    }
}

impl Lanes {
    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        let wide = caps.max_invocations.min(64);
        let shared = |lanes| Self::Workgroup { size: wide, lanes };
        let joined = |lanes| Self::AcrossSubgroups { size: wide, lanes };
        let one = |size| Self::One(size);
        let mut all = Vec::new();
        let subgroup = |lanes: u32| Self::WholeSubgroup { size: lanes.max(wide), lanes };
        if caps.software {
            all.extend(fixed(caps).map(|lanes| Self::LanePerRow { size: lanes, lanes }));
            all.push(one(8));
            all.extend(fixed(caps).map(subgroup));
            all.extend([joined(8), shared(32)]);
        } else {
            all.extend(fixed(caps).map(subgroup));
            all.extend([joined(32), shared(32), joined(8), joined(16), shared(8), shared(16)]);
            all.push(one(64));
            all.extend(fixed(caps).map(|lanes| Self::LanePerRow { size: lanes.max(wide), lanes }));
        }
        all
    }

    /// The kernel that works so.
    pub(super) fn kernel(self) -> &'static str {
        if matches!(self, Self::LanePerRow { .. }) { "matvec_shuffle" } else { "matvec" }
    }

    /// The part that fills the kernel's slot `lanes`; none where it has no such slot.
    fn part(self) -> Option<&'static str> {
        match self {
            Self::One(_) => Some("lanes_one"),
            Self::LanePerRow { .. } => None,
            Self::Workgroup { .. } => Some("lanes_workgroup"),
            Self::WholeSubgroup { .. } => Some("lanes_subgroup"),
            Self::AcrossSubgroups { .. } => Some("lanes_subgroups"),
        }
    }

    /// The kernel or part by whose name it is excluded.
    pub(super) fn rests_on(self) -> &'static str {
        self.part().unwrap_or(self.kernel())
    }

    /// Fills a kernel's `lanes` slot.
    pub(super) fn apply(self, program: Program) -> Program {
        let program = match self.part() {
            Some(name) => program.part(part(name)),
            None => program,
        };
        match self {
            Self::One(size) => program.constant("WG", size),
            Self::LanePerRow { size, lanes }
            | Self::Workgroup { size, lanes }
            | Self::WholeSubgroup { size, lanes }
            | Self::AcrossSubgroups { size, lanes } => {
                program.constant("WG", size).constant("LANES", lanes)
            }
        }
    }

    /// How many groups of rows one workgroup covers.
    pub(super) fn groups(self) -> usize {
        match self {
            Self::One(size) | Self::LanePerRow { size, .. } => size as usize,
            Self::Workgroup { size, lanes }
            | Self::WholeSubgroup { size, lanes }
            | Self::AcrossSubgroups { size, lanes } => (size / lanes) as usize,
        }
    }
}
