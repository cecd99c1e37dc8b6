//! Which variant of each kernel runs: a pure function of the device, never of a clock in mid-run.

use crate::gpu::{Caps, Part, Program};

use super::part;

/// The variants chosen for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// Sums over a row in norms and softmaxes.
    pub reduce: Reduce,
    /// Invocations that share a row of weights when few rows of x are multiplied.
    pub lanes: Lanes,
    /// The workgroup when many rows of x are multiplied.
    pub matmul: MatmulTile,
    /// The largest binding, in bytes.
    pub max_binding: u64,
}

/// How a workgroup sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduce {
    /// Through workgroup memory, with this many invocations.
    Workgroup(u32),
    /// The workgroup is one subgroup of this many lanes.
    Subgroup(u32),
}

/// How invocations share the rows of a matrix-vector product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// Each works alone, in workgroups of this size.
    One(u32),
    /// `lanes` neighbours of a workgroup share rows and sum through workgroup memory.
    Workgroup {
        /// Invocations in a workgroup.
        size: u32,
        /// Invocations that share rows.
        lanes: u32,
    },
    /// The lanes of a subgroup share rows.
    Subgroup {
        /// Invocations in a workgroup.
        size: u32,
        /// Lanes of a subgroup.
        lanes: u32,
    },
}

/// The workgroup of a matrix product: `n` x `t` invocations with 8 x 8 outputs each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulTile {
    /// Invocations along the outputs of a row.
    pub n: u32,
    /// Invocations along the rows.
    pub t: u32,
}

impl Choices {
    /// The built-in choice for a device.
    pub fn defaults(caps: &Caps) -> Self {
        let fixed = caps.subgroups.filter(|(least, most)| least == most).map(|(size, _)| size);
        if caps.software {
            // Lanes are the vector units of a core, and barriers cost more than loads.
            return Self {
                reduce: fixed.map_or(Reduce::Workgroup(16), Reduce::Subgroup),
                lanes: Lanes::One(8),
                matmul: MatmulTile { n: 8, t: 1 },
                max_binding: caps.max_binding,
            };
        }
        Self {
            reduce: Reduce::Workgroup(256.min(caps.max_invocations)),
            lanes: match fixed {
                Some(lanes) => Lanes::Subgroup { size: lanes.max(64), lanes },
                None => Lanes::Workgroup { size: 64, lanes: 32 },
            },
            matmul: MatmulTile { n: 8, t: 8 },
            max_binding: caps.max_binding,
        }
    }
}

impl Reduce {
    /// Fills a kernel's `reduce` slot.
    pub(super) fn apply(self, program: Program) -> Program {
        let (name, size) = match self {
            Self::Workgroup(size) => ("reduce_workgroup", size),
            Self::Subgroup(size) => ("reduce_subgroup", size),
        };
        program.part(part(name)).constant("WG", size)
    }
}

impl Lanes {
    /// Fills a kernel's `lanes` slot.
    pub(super) fn apply(self, program: Program) -> Program {
        match self {
            Self::One(size) => program.part(part("lanes_one")).constant("WG", size),
            Self::Workgroup { size, lanes } => {
                shared(program, part("lanes_workgroup"), size, lanes)
            }
            Self::Subgroup { size, lanes } => shared(program, part("lanes_subgroup"), size, lanes),
        }
    }

    /// How many groups of rows one workgroup covers.
    pub(super) fn groups(self) -> usize {
        match self {
            Self::One(size) => size as usize,
            Self::Workgroup { size, lanes } | Self::Subgroup { size, lanes } => {
                (size / lanes) as usize
            }
        }
    }
}

fn shared(program: Program, part: &'static Part, size: u32, lanes: u32) -> Program {
    program.part(part).constant("WG", size).constant("LANES", lanes)
}
