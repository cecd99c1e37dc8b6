//! Which variant of each kernel runs: a pure function of the device, of what is known to be wrong on
//! it, of what was measured on it before, and of shapes; never of a clock in mid-run.

use crate::gpu::Caps;

use super::variants::offers;
use super::{Fetch, Known, Lanes, Matmul, Reduce, Shape, Weight, fingerprint};

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
    /// The most rows that run at once while a prompt is read: many, where many have to run at once
    /// to keep a device busy.
    pub rows: usize,
    /// Operations in about one submit, where what is run is cut: far from the 2 s after which watchdogs
    /// kill it, and little enough for a stop to be heard at once, however slow the device.
    pub operations: f64,
    /// The largest binding, in bytes.
    pub max_binding: u64,
    /// What was found out about the device.
    pub known: Known,
    /// Whether all products are made just so, whatever their shapes: for trying a variant on small
    /// ones.
    pub exact: bool,
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
        known.chunk = known.chunk.filter(|chunk| Self::chunks(caps).contains(chunk));
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
            attention: known.attention.unwrap_or(Fetch::candidates(caps)[0]),
            chunk: known.chunk.unwrap_or(Self::chunks(caps)[0]),
            rows: if caps.software { 128 } else { 512 },
            operations: if caps.software { 1e9 } else { 1e11 },
            max_binding: caps.max_binding,
            known,
            exact: false,
        }
    }

    /// Numbers of keys worth trying where those of few rows are split, the default first.
    pub fn chunks(caps: &Caps) -> Vec<usize> {
        if caps.software { vec![256, 128, 64] } else { vec![64, 128, 256] }
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

    /// The rows that an invocation of a tiled kernel takes of so many, whose workgroups of 64 make 64
    /// columns of eight times as many. The more it takes, the more often each value is used; but where
    /// there are too few workgroups, most of a large device has nothing to do.
    pub(super) fn tile(&self, rows: usize, columns: usize) -> usize {
        const BUSY: usize = 256;
        let groups = |tile: usize| rows.div_ceil(8 * tile) * columns.div_ceil(64);
        let busy = |tile: &usize| self.exact || groups(*tile) >= BUSY;
        let fits = |tile: &usize| *tile == 8 && rows > 32 || *tile == 4 && rows > 16;
        [8, 4].into_iter().filter(fits).find(busy).unwrap_or(2)
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

    /// The lanes that pass queries and weights round, in `attention_split_passed`: those of a CPU's
    /// vector units, which pay for the load of each lane. Four of them are too few for it.
    pub(super) fn passes(&self, reduce: Reduce) -> Option<u32> {
        let Reduce::Subgroup(lanes @ 8..=16) = reduce else { return None };
        let welcome = self.attention == Fetch::Direct
            && !self.known.excluded.contains("attention_split_passed");
        welcome.then_some(lanes)
    }

    /// How workgroups that split the keys of a context sum, and how many keys each takes.
    pub(super) fn split(&self, context: usize) -> (Reduce, usize) {
        let chunk = (context / 64).next_power_of_two().clamp(self.chunk, 256.max(self.chunk));
        (self.reduce.at_most(64), chunk)
    }
}
