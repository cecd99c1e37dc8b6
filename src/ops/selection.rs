//! Which variant of each kernel runs: a pure function of the device, of what is known to be wrong on
//! it, of what was measured on it before, and of shapes; never of a clock in mid-run.

use crate::gpu::Caps;

use super::variants::offers;
use super::{AttentionTiling, DeviceProfile, Lanes, Matmul, Reduce, Shape, Weight, fingerprint};

/// The variants chosen for a device.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSelection {
    /// Sums over a row in norms and softmaxes.
    pub reduce: Reduce,
    /// Invocations that share a row of weights when few rows of x are multiplied.
    pub lanes: Lanes,
    /// How many rows of x are multiplied.
    pub matmul: Matmul,
    /// How attention of many rows fetches keys and values.
    pub attention: AttentionTiling,
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
    pub profile: DeviceProfile,
    /// Whether all products are made just so, whatever their shapes: for trying a variant on small
    /// ones.
    pub forced: bool,
}

impl KernelSelection {
    /// The built-in choice for a device of which nothing else is known.
    pub fn defaults(caps: &Caps) -> Self {
        Self::new(caps, DeviceProfile::default())
    }

    /// The choice for a device: the first variants that it can run and that are not excluded, and
    /// what was measured to be better.
    pub fn new(caps: &Caps, mut profile: DeviceProfile) -> Self {
        let may = |name: &str| offers(caps, name) && !profile.excluded.contains(name);
        let half = profile.half;
        let reduce = Reduce::candidates(caps).into_iter().find(|r| may(r.part()));
        let lanes = Lanes::candidates(caps).into_iter().find(|l| may(l.rests_on()));
        let matmul = Matmul::candidates(caps)[0];
        profile.chunk = profile.chunk.filter(|chunk| Self::chunks(caps).contains(chunk));
        let tuned = profile.reduce.filter(|reduce| reduce.fits(caps) && may(reduce.part()));
        let shares = |lanes: Lanes| lanes.fits(caps) && may(lanes.rests_on());
        let few = profile.lanes.clone().into_iter().filter(|(_, lanes)| shares(*lanes));
        let welcome = |matmul: Matmul| {
            matmul.fits(caps) && (matmul != Matmul::TiledHalf || (half && may("tile_f16")))
        };
        let many = profile.matmul.clone().into_iter().filter(|(_, matmul)| welcome(*matmul));
        let (few, many) = (few.collect(), many.collect());
        (profile.reduce, profile.lanes, profile.matmul) = (tuned, few, many);
        Self {
            // The plain variants need nothing, and are never excluded.
            reduce: tuned.or(reduce).unwrap_or(Reduce::Workgroup(64)),
            lanes: lanes.unwrap_or(Lanes::One(64)),
            matmul,
            // Where lanes are the vector units of a core, barriers cost more than loads.
            attention: profile.attention.unwrap_or(AttentionTiling::candidates(caps)[0]),
            chunk: profile.chunk.unwrap_or(Self::chunks(caps)[0]),
            rows: if caps.software { 128 } else { 512 },
            operations: if caps.software { 1e9 } else { 1e11 },
            max_binding: caps.max_binding,
            profile,
            forced: false,
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

    /// How a kernel sums that goes through so many vec4s of a row, all its passes together. Mesa's
    /// software adapter ends the loops of an invocation, without a word, after 65,535 rounds in all:
    /// where the lanes are too few for that, a whole workgroup shares the row.
    pub(super) fn reduce_over(&self, vec4s: usize) -> Reduce {
        const MOST_ROUNDS: usize = 60_000;
        let wide = Reduce::Workgroup(256);
        if vec4s / self.reduce.size() as usize > MOST_ROUNDS { wide } else { self.reduce }
    }

    /// Whether nothing speaks against lanes that share so.
    pub fn allows(&self, lanes: Lanes) -> bool {
        !self.profile.excluded.contains(lanes.rests_on())
    }

    /// How few rows of this product are shared: as was measured, else as many lanes as its rows have
    /// words for.
    pub fn lanes_for(&self, weight: &Weight, rows: usize) -> Lanes {
        if self.forced {
            return self.lanes;
        }
        let measured = self.profile.lanes.get(&Shape::new(weight, rows).name());
        measured.copied().unwrap_or_else(|| self.lanes_with_work(weight.words()))
    }

    /// How many rows of this product are multiplied.
    pub fn matmul_for(&self, weight: &Weight, rows: usize) -> Matmul {
        if self.forced {
            return self.matmul;
        }
        self.profile.matmul.get(&Shape::new(weight, rows).name()).copied().unwrap_or(self.matmul)
    }

    /// The rows that an invocation of a tiled kernel takes of so many, whose workgroups of 64 make 64
    /// columns of eight times as many. The more it takes, the more often each value is used; but where
    /// there are too few workgroups, most of a large device has nothing to do.
    pub(super) fn tile(&self, rows: usize, columns: usize) -> usize {
        const BUSY: usize = 256;
        let groups = |tile: usize| rows.div_ceil(8 * tile) * columns.div_ceil(64);
        let busy = |tile: &usize| self.forced || groups(*tile) >= BUSY;
        let fits = |tile: &usize| *tile == 8 && rows > 32 || *tile == 4 && rows > 16;
        [8, 4].into_iter().filter(fits).find(busy).unwrap_or(2)
    }

    /// The lanes, but no more than have work in three rounds of four: a row of 18 words keeps 8 lanes
    /// busier than 32.
    pub(super) fn lanes_with_work(&self, words: u32) -> Lanes {
        let busy = |lanes: &u32| 4 * words >= 3 * lanes * words.div_ceil(*lanes);
        let fit =
            |most: u32| [32, 16, 8].into_iter().filter(|l| *l <= most).find(busy).unwrap_or(4);
        let joined = Lanes::AcrossSubgroups { size: 64, lanes: 8 };
        match self.lanes {
            Lanes::Workgroup { size, lanes } if !busy(&lanes) => {
                Lanes::Workgroup { size, lanes: fit(lanes) }
            }
            Lanes::AcrossSubgroups { size, lanes } if !busy(&lanes) => {
                Lanes::AcrossSubgroups { size, lanes: fit(lanes) }
            }
            Lanes::WholeSubgroup { size, lanes }
                if !busy(&lanes) && !self.profile.excluded.contains(joined.rests_on()) =>
            {
                Lanes::AcrossSubgroups { size, lanes: fit(lanes) }
            }
            lanes => lanes,
        }
    }

    /// The lanes that pass queries and weights round, in `attention_split_shuffle`: those of a CPU's
    /// vector units, which pay for the load of each lane. Four of them are too few for it.
    pub(super) fn shuffle_lanes(&self, reduce: Reduce) -> Option<u32> {
        let Reduce::WholeSubgroup(lanes @ 8..=16) = reduce else { return None };
        let welcome = self.attention == AttentionTiling::Direct
            && !self.profile.excluded.contains("attention_split_shuffle");
        welcome.then_some(lanes)
    }

    /// How workgroups that split the keys of a context sum, and how many keys each takes.
    pub(super) fn split(&self, context: usize) -> (Reduce, usize) {
        let chunk = (context / 64).next_power_of_two().clamp(self.chunk, 256.max(self.chunk));
        (self.reduce.at_most(64), chunk)
    }
}
