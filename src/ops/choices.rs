//! Which variant of each kernel runs: a pure function of the device, never of a clock in mid-run.

use crate::gpu::{Caps, Part, Program};

use super::{kernel, part};

/// The variants chosen for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// Sums over a row in norms and softmaxes.
    pub reduce: Reduce,
    /// Invocations that share a row of weights when few rows of x are multiplied.
    pub lanes: Lanes,
    /// How many rows of x are multiplied.
    pub matmul: Matmul,
    /// How attention of many rows fetches keys and values.
    pub attention: Fetch,
    /// The fewest keys that a workgroup takes where those of few rows are split: a multiple of four.
    pub chunk: usize,
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
    /// Each works alone, in workgroups of `size`; the lanes of a subgroup pass the values of x round.
    Rows {
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
    Subgroup {
        /// Invocations in a workgroup.
        size: u32,
        /// Lanes of a subgroup.
        lanes: u32,
    },
}

/// How a product of many rows is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matmul {
    /// Straight from storage: `n` x `t` invocations with 8 x 8 outputs each.
    Direct {
        /// Invocations along the outputs of a row.
        n: u32,
        /// Invocations along the rows.
        t: u32,
    },
    /// Through workgroup memory: tiles of 64 x 64 outputs.
    Tiled,
}

/// How a kernel of many rows fetches what several of them use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    /// Straight from storage.
    Direct,
    /// Through workgroup memory.
    Tiled,
}

impl Choices {
    /// The built-in choice for a device.
    pub fn defaults(caps: &Caps) -> Self {
        let fixed = caps.subgroups.filter(|(least, most)| least == most).map(|(size, _)| size);
        if caps.software {
            // Lanes are the vector units of a core, and barriers cost more than loads.
            return Self {
                reduce: fixed.map_or(Reduce::Workgroup(16), Reduce::Subgroup),
                lanes: fixed.map_or(Lanes::One(8), |lanes| Lanes::Rows { size: lanes, lanes }),
                matmul: Matmul::Direct { n: 8, t: 1 },
                attention: Fetch::Direct,
                chunk: 256,
                max_binding: caps.max_binding,
            };
        }
        Self {
            reduce: Reduce::Workgroup(256.min(caps.max_invocations)),
            lanes: match fixed {
                Some(lanes) => Lanes::Subgroup { size: lanes.max(64), lanes },
                None => Lanes::Workgroup { size: 64, lanes: 32 },
            },
            matmul: Matmul::Tiled,
            attention: Fetch::Tiled,
            chunk: 64,
            max_binding: caps.max_binding,
        }
    }
}

impl Matmul {
    /// The kernel, its numbers, and the rows of outputs (n, t) of one workgroup.
    pub(super) fn program(self) -> (Program, usize, usize) {
        match self {
            Self::Direct { n, t } => {
                let program =
                    Program::new(kernel("matmul")).constant("WG_N", n).constant("WG_T", t);
                (program, 8 * n as usize, 8 * t as usize)
            }
            Self::Tiled => (Program::new(kernel("matmul_tiled")), 64, 64),
        }
    }
}

impl Choices {
    /// A name for the choices: equal choices have equal keys, on every machine.
    ///
    /// FNV-1a, 64 bits, in hexadecimal, over the choices in words.
    pub fn key(&self) -> String {
        let hash = format!("{self:?}").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

impl Choices {
    /// How workgroups that split the keys of a context sum, and how many keys each takes.
    pub(super) fn split(&self, context: usize) -> (Reduce, usize) {
        let chunk = (context / 64).next_power_of_two().clamp(self.chunk, 256.max(self.chunk));
        (self.reduce.at_most(64), chunk)
    }
}

impl Reduce {
    /// Invocations of a workgroup.
    pub(super) fn size(self) -> u32 {
        match self {
            Self::Workgroup(size) | Self::Subgroup(size) => size,
        }
    }

    /// The same with at most so many invocations.
    fn at_most(self, most: u32) -> Self {
        match self {
            Self::Workgroup(size) => Self::Workgroup(size.min(most)),
            subgroup @ Self::Subgroup(_) => subgroup,
        }
    }

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
    /// The kernel that works so.
    pub(super) fn kernel(self) -> &'static str {
        if matches!(self, Self::Rows { .. }) { "matvec_rows" } else { "matvec" }
    }

    /// Fills a kernel's `lanes` slot.
    pub(super) fn apply(self, program: Program) -> Program {
        match self {
            Self::One(size) => program.part(part("lanes_one")).constant("WG", size),
            Self::Rows { size, lanes } => program.constant("WG", size).constant("LANES", lanes),
            Self::Workgroup { size, lanes } => {
                shared(program, part("lanes_workgroup"), size, lanes)
            }
            Self::Subgroup { size, lanes } => shared(program, part("lanes_subgroup"), size, lanes),
        }
    }

    /// How many groups of rows one workgroup covers.
    pub(super) fn groups(self) -> usize {
        match self {
            Self::One(size) | Self::Rows { size, .. } => size as usize,
            Self::Workgroup { size, lanes } | Self::Subgroup { size, lanes } => {
                (size / lanes) as usize
            }
        }
    }
}

fn shared(program: Program, part: &'static Part, size: u32, lanes: u32) -> Program {
    program.part(part).constant("WG", size).constant("LANES", lanes)
}
