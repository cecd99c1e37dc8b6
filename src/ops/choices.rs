//! Which variant of each kernel runs: a pure function of the device, of what is known to be wrong on
//! it, of what was measured on it before, and of shapes; never of a clock in mid-run.

use serde::{Deserialize, Serialize};

use crate::gpu::{Caps, Need, Program};

use super::{KERNELS, Known, PARTS, Shape, Weight, fingerprint, kernel, part};

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
    /// What was found out about the device.
    pub known: Known,
    /// Whether all products are made just so, whatever their shapes: for trying a variant on small
    /// ones.
    pub exact: bool,
}

/// How a workgroup sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reduce {
    /// Through workgroup memory, with this many invocations.
    Workgroup(u32),
    /// The workgroup is one subgroup of this many lanes.
    Subgroup(u32),
    /// Within subgroups of any size, then over them.
    Subgroups {
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
    /// `lanes` neighbours share rows and sum within subgroups of any size, then over them.
    Subgroups {
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
    /// Through workgroup memory: tiles of 64 outputs by 64 rows, or by 32 where there are no more.
    Tiled,
    /// The same with values and products in half floats, summed in f32.
    TiledHalf,
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
    /// The built-in choice for a device of which nothing else is known.
    pub fn defaults(caps: &Caps) -> Self {
        Self::new(caps, Known::default())
    }

    /// The choice for a device: the first variants that it can run and that are not excluded, and
    /// what was measured to be better.
    pub fn new(caps: &Caps, mut known: Known) -> Self {
        let may = |name: &str| offers(caps, name) && !known.excluded.contains(name);
        let half = known.half;
        let reduce = Reduce::candidates(caps).into_iter().find(|r| may(r.part()));
        let lanes = Lanes::candidates(caps).into_iter().find(|l| may(l.rests_on()));
        let matmul = Matmul::candidates(caps)[0];
        let tuned = known.reduce.filter(|reduce| reduce.fits(caps) && may(reduce.part()));
        let shares = |lanes: Lanes| lanes.fits(caps) && may(lanes.rests_on());
        let few = known.lanes.clone().into_iter().filter(|(_, lanes)| shares(*lanes));
        let welcome = |matmul: Matmul| {
            matmul.fits(caps) && (matmul != Matmul::TiledHalf || (half && may("tile_f16")))
        };
        let many = known.matmul.clone().into_iter().filter(|(_, matmul)| welcome(*matmul));
        let (few, many) = (few.collect(), many.collect());
        (known.reduce, known.lanes, known.matmul) = (tuned, few, many);
        Self {
            // The plain variants need nothing, and are never excluded.
            reduce: tuned.or(reduce).unwrap_or(Reduce::Workgroup(64)),
            lanes: lanes.unwrap_or(Lanes::One(64)),
            matmul,
            // Where lanes are the vector units of a core, barriers cost more than loads.
            attention: if caps.software { Fetch::Direct } else { Fetch::Tiled },
            chunk: if caps.software { 256 } else { 64 },
            max_binding: caps.max_binding,
            known,
            exact: false,
        }
    }

    /// A name for the choices: equal choices have equal keys, on every machine.
    ///
    /// FNV-1a, 64 bits, in hexadecimal, over the choices in words.
    pub fn key(&self) -> String {
        fingerprint(format!("{self:?}").bytes())
    }

    /// How a kernel sums that goes through so many fours of a row, all its passes together. Mesa's
    /// software adapter ends the loops of an invocation, without a word, after 65,535 rounds in all:
    /// where the lanes are too few for that, a whole workgroup shares the row.
    pub(super) fn reduce_over(&self, fours: usize) -> Reduce {
        const MOST_ROUNDS: usize = 60_000;
        let wide = Reduce::Workgroup(256);
        if fours / self.reduce.size() as usize > MOST_ROUNDS { wide } else { self.reduce }
    }

    /// Whether nothing speaks against lanes that share so.
    pub fn may_use(&self, lanes: Lanes) -> bool {
        !self.known.excluded.contains(lanes.rests_on())
    }

    /// How few rows of this product are shared: as was measured, else as many lanes as its rows have
    /// words for.
    pub fn lanes_for(&self, weight: &Weight, rows: usize) -> Lanes {
        if self.exact {
            return self.lanes;
        }
        let measured = self.known.lanes.get(&Shape::new(weight, rows).name());
        measured.copied().unwrap_or_else(|| self.narrowed(weight.words()))
    }

    /// How many rows of this product are multiplied.
    pub fn matmul_for(&self, weight: &Weight, rows: usize) -> Matmul {
        if self.exact {
            return self.matmul;
        }
        self.known.matmul.get(&Shape::new(weight, rows).name()).copied().unwrap_or(self.matmul)
    }

    /// The lanes, but no more than have work in three rounds of four: a row of 18 words keeps 8 lanes
    /// busier than 32.
    pub(super) fn narrowed(&self, words: u32) -> Lanes {
        let busy = |lanes: &u32| 4 * words >= 3 * lanes * words.div_ceil(*lanes);
        let fit =
            |most: u32| [32, 16, 8].into_iter().filter(|l| *l <= most).find(busy).unwrap_or(4);
        let joined = Lanes::Subgroups { size: 64, lanes: 8 };
        match self.lanes {
            Lanes::Workgroup { size, lanes } if !busy(&lanes) => {
                Lanes::Workgroup { size, lanes: fit(lanes) }
            }
            Lanes::Subgroups { size, lanes } if !busy(&lanes) => {
                Lanes::Subgroups { size, lanes: fit(lanes) }
            }
            Lanes::Subgroup { size, lanes }
                if !busy(&lanes) && !self.known.excluded.contains(joined.rests_on()) =>
            {
                Lanes::Subgroups { size, lanes: fit(lanes) }
            }
            lanes => lanes,
        }
    }
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

    /// The kernel, its numbers, and the rows of outputs (n, t) of one workgroup, for so many rows.
    pub(super) fn program(self, rows: usize) -> (Program, usize, usize) {
        match self {
            Self::Direct { n, t } => {
                let program =
                    Program::new(kernel("matmul")).constant("WG_N", n).constant("WG_T", t);
                (program, 8 * n as usize, 8 * t as usize)
            }
            Self::Tiled | Self::TiledHalf => {
                let tile = if rows <= 32 { 4 } else { 8 };
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

impl Choices {
    /// How workgroups that split the keys of a context sum, and how many keys each takes.
    pub(super) fn split(&self, context: usize) -> (Reduce, usize) {
        let chunk = (context / 64).next_power_of_two().clamp(self.chunk, 256.max(self.chunk));
        (self.reduce.at_most(64), chunk)
    }
}

impl Reduce {
    /// The variants worth trying on a device, its default first.
    pub fn candidates(caps: &Caps) -> Vec<Self> {
        let large = 256.min(caps.max_invocations);
        let mut all = Vec::new();
        if caps.software {
            all.extend(fixed(caps).map(Self::Subgroup));
            all.extend([16, large].map(Self::Workgroup));
        }
        if let Some((least, _)) = caps.subgroups {
            all.push(Self::Subgroups { size: large, least: least.max(1) });
        }
        if !caps.software {
            all.extend([large, 64].map(Self::Workgroup));
            all.extend(fixed(caps).map(Self::Subgroup));
        }
        all
    }

    /// Invocations of a workgroup.
    pub(super) fn size(self) -> u32 {
        match self {
            Self::Workgroup(size) | Self::Subgroup(size) | Self::Subgroups { size, .. } => size,
        }
    }

    /// The same with at most so many invocations.
    fn at_most(self, most: u32) -> Self {
        match self {
            Self::Workgroup(size) => Self::Workgroup(size.min(most)),
            Self::Subgroups { size, least } => {
                Self::Subgroups { size: size.min(most).max(least), least }
            }
            subgroup @ Self::Subgroup(_) => subgroup,
        }
    }

    /// The part that fills a kernel's slot `reduce`.
    pub(super) fn part(self) -> &'static str {
        match self {
            Self::Workgroup(_) => "reduce_workgroup",
            Self::Subgroup(_) => "reduce_subgroup",
            Self::Subgroups { .. } => "reduce_subgroups",
        }
    }

    /// Fills a kernel's `reduce` slot.
    pub(super) fn apply(self, program: Program) -> Program {
        let program = program.part(part(self.part()));
        match self {
            Self::Workgroup(size) | Self::Subgroup(size) => program.constant("WG", size),
            Self::Subgroups { size, least } => {
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
        let joined = |lanes| Self::Subgroups { size: wide, lanes };
        let one = |size| Self::One(size);
        let mut all = Vec::new();
        let subgroup = |lanes: u32| Self::Subgroup { size: lanes.max(wide), lanes };
        if caps.software {
            all.extend(fixed(caps).map(|lanes| Self::Rows { size: lanes, lanes }));
            all.push(one(8));
            all.extend(fixed(caps).map(subgroup));
            all.extend([joined(8), shared(32)]);
        } else {
            all.extend(fixed(caps).map(subgroup));
            all.extend([joined(32), shared(32), joined(8), joined(16), shared(8), shared(16)]);
            all.push(one(64));
            all.extend(fixed(caps).map(|lanes| Self::Rows { size: lanes.max(wide), lanes }));
        }
        all
    }

    /// The kernel that works so.
    pub(super) fn kernel(self) -> &'static str {
        if matches!(self, Self::Rows { .. }) { "matvec_rows" } else { "matvec" }
    }

    /// The part that fills the kernel's slot `lanes`; none where it has no such slot.
    fn part(self) -> Option<&'static str> {
        match self {
            Self::One(_) => Some("lanes_one"),
            Self::Rows { .. } => None,
            Self::Workgroup { .. } => Some("lanes_workgroup"),
            Self::Subgroup { .. } => Some("lanes_subgroup"),
            Self::Subgroups { .. } => Some("lanes_subgroups"),
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
            Self::Rows { size, lanes }
            | Self::Workgroup { size, lanes }
            | Self::Subgroup { size, lanes }
            | Self::Subgroups { size, lanes } => {
                program.constant("WG", size).constant("LANES", lanes)
            }
        }
    }

    /// How many groups of rows one workgroup covers.
    pub(super) fn groups(self) -> usize {
        match self {
            Self::One(size) | Self::Rows { size, .. } => size as usize,
            Self::Workgroup { size, lanes }
            | Self::Subgroup { size, lanes }
            | Self::Subgroups { size, lanes } => (size / lanes) as usize,
        }
    }
}
