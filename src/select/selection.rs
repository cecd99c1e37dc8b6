//! Which variant of each kernel runs: a pure function of the device, of its profile and of shapes,
//! never of timings in mid-run.

use crate::gpu::Caps;

use super::profile::{DeviceProfile, fingerprint};
use super::shape::Shape;
use super::variants::{AttentionTiling, Lanes, LanesKind, Matmul, Reduce, offers};

/// The variants that run on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelSelection {
    /// How norms and softmaxes reduce a row.
    pub reduce: Reduce,
    /// How invocations share the rows of W in a product of few rows of x, unless the profile holds
    /// a measurement of the shape.
    pub lanes: Lanes,
    /// How a product of many rows of x is computed, unless the profile holds a measurement of the
    /// shape.
    pub matmul: Matmul,
    /// How attention of many rows loads keys and values.
    pub attention: AttentionTiling,
    /// The fewest keys per workgroup when the keys of a few rows are split: a multiple of four.
    pub chunk: usize,
    /// How much work runs at once.
    pub limits: RunLimits,
    /// What was found out about the device, without what it cannot run or must not use.
    pub profile: DeviceProfile,
    /// Whether products use `lanes` and `matmul` whatever their shapes, so that a variant can be
    /// tested on small ones.
    pub forced: bool,
}

/// How much work runs at once on a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunLimits {
    /// The most rows of a prompt that run at once. A device with many cores needs many rows.
    pub rows: usize,
    /// About how many operations go into one submit. It takes far less than the 2 s after which a
    /// watchdog would kill it, and is short enough to stop between two of them.
    pub operations: f64,
    /// The largest binding, in bytes.
    pub max_binding: u64,
}

impl RunLimits {
    fn new(caps: &Caps) -> Self {
        let (rows, operations) = if caps.software { (128, 1e9) } else { (512, 1e11) };
        Self { rows, operations, max_binding: caps.max_binding }
    }
}

impl KernelSelection {
    /// The default for a device about which nothing is known.
    pub fn defaults(caps: &Caps) -> Self {
        Self::new(caps, DeviceProfile::default())
    }

    /// The first variants that the device can run and that are not excluded, or those measured to
    /// be faster.
    pub fn new(caps: &Caps, mut profile: DeviceProfile) -> Self {
        let excluded = std::mem::take(&mut profile.excluded);
        let may = |name: &str| offers(caps, name) && !excluded.contains(name);
        let f16 = profile.f16 && may("tile_f16");
        profile.reduce = profile.reduce.filter(|reduce| reduce.fits(caps) && may(reduce.part()));
        profile.lanes.retain(|_, lanes| lanes.fits(caps) && may(lanes.rests_on()));
        profile
            .matmul
            .retain(|_, matmul| matmul.fits(caps) && (*matmul != Matmul::TiledF16 || f16));
        profile.chunk = profile.chunk.filter(|chunk| Self::chunks(caps).contains(chunk));
        let reduce = Reduce::candidates(caps).into_iter().find(|reduce| may(reduce.part()));
        let lanes = Lanes::candidates(caps).into_iter().find(|lanes| may(lanes.rests_on()));
        profile.excluded = excluded;
        Self {
            // The plain variants need nothing special, and are never excluded.
            reduce: profile.reduce.or(reduce).unwrap_or(Reduce::Workgroup(64)),
            lanes: lanes.unwrap_or(Lanes::one(64)),
            matmul: Matmul::candidates(caps)[0],
            attention: profile.attention.unwrap_or(AttentionTiling::candidates(caps)[0]),
            chunk: profile.chunk.unwrap_or(Self::chunks(caps)[0]),
            limits: RunLimits::new(caps),
            profile,
            forced: false,
        }
    }

    /// Every variant that a device offers, in as few selections as possible: what a self-test runs.
    pub fn all(caps: &Caps) -> Vec<Self> {
        let mut reduces = Reduce::candidates(caps);
        reduces.retain(|reduce| offers(caps, reduce.part()));
        let mut lanes = Lanes::candidates(caps);
        lanes.retain(|lanes| offers(caps, lanes.rests_on()));
        let tilings = AttentionTiling::candidates(caps);
        Self::defaults(caps).with_each(&reduces, &lanes, &Matmul::candidates(caps), &tilings)
    }

    /// Every variant that this selection uses for some shape, each in its own selection.
    pub fn trials(&self) -> Vec<Self> {
        let mut lanes: Vec<Lanes> = (1..=64).map(|words| self.lanes_with_work(words)).collect();
        lanes.extend(self.profile.lanes.values());
        let mut matmuls = vec![self.matmul];
        matmuls.extend(self.profile.matmul.values());
        // Rows of many values may need wider workgroups: see `reduce_over`.
        let reduces = [self.reduce, self.reduce_over(usize::MAX)];
        self.with_each(&reduces, &distinct(lanes), &distinct(matmuls), &[self.attention])
    }

    /// This selection with each of the variants at least once; the shorter lists repeat.
    fn with_each(
        &self,
        reduces: &[Reduce],
        lanes: &[Lanes],
        matmuls: &[Matmul],
        tilings: &[AttentionTiling],
    ) -> Vec<Self> {
        let count = reduces.len().max(lanes.len()).max(matmuls.len()).max(tilings.len());
        let lists = reduces.iter().cycle().zip(lanes.iter().cycle());
        let lists = lists.zip(matmuls.iter().cycle().zip(tilings.iter().cycle()));
        lists
            .take(count)
            .map(|((&reduce, &lanes), (&matmul, &attention))| Self {
                reduce,
                lanes,
                matmul,
                attention,
                forced: true,
                ..self.clone()
            })
            .collect()
    }

    /// Numbers of keys per workgroup worth trying when the keys of a few rows are split, the
    /// default first.
    pub fn chunks(caps: &Caps) -> Vec<usize> {
        if caps.software { vec![256, 128, 64] } else { vec![64, 128, 256] }
    }

    /// A name for the selection: equal selections have equal keys, on every machine.
    ///
    /// FNV-1a, 64 bits, in hexadecimal, over the selection in words.
    pub fn key(&self) -> String {
        fingerprint(format!("{self:?}").bytes())
    }

    /// Whether lanes of this kind are not excluded.
    pub fn allows(&self, lanes: Lanes) -> bool {
        !self.profile.excluded.contains(lanes.rests_on())
    }

    /// The lanes that share the rows of W in this product of few rows: as measured, else as many as
    /// W's rows have words for.
    pub fn lanes_for(&self, shape: Shape) -> Lanes {
        if self.forced {
            return self.lanes;
        }
        let measured = self.profile.lanes.get(&shape).copied();
        measured.unwrap_or_else(|| self.lanes_with_work(shape.words() as u32))
    }

    /// How a product of this shape, of many rows, is computed.
    pub fn matmul_for(&self, shape: Shape) -> Matmul {
        let measured = self.profile.matmul.get(&shape).filter(|_| !self.forced);
        measured.copied().unwrap_or(self.matmul)
    }

    /// How a kernel reduces a row when its passes together read `vec4s` vec4s. Mesa's software
    /// adapter silently ends the loops of an invocation after 65,535 iterations in total: if the
    /// lanes are too few for that, a whole workgroup shares the row.
    pub(crate) fn reduce_over(&self, vec4s: usize) -> Reduce {
        const MOST_ROUNDS: usize = 60_000;
        let whole = Reduce::Workgroup(256);
        if vec4s / self.reduce.size() as usize > MOST_ROUNDS { whole } else { self.reduce }
    }

    /// How many rows each invocation of a tiled product takes, of `rows` rows and `columns` outputs.
    /// The more it takes, the more often each loaded value is used; but with too few workgroups, most
    /// of a large device idles. A workgroup of 64 invocations covers 64 columns by eight times as many
    /// rows as one invocation takes.
    pub(crate) fn tile(&self, rows: usize, columns: usize) -> usize {
        const BUSY: usize = 256;
        let groups = |tile: usize| rows.div_ceil(8 * tile) * columns.div_ceil(64);
        let busy = |tile: &usize| self.forced || groups(*tile) >= BUSY;
        let fits = |tile: &usize| *tile == 8 && rows > 32 || *tile == 4 && rows > 16;
        [8, 4].into_iter().filter(fits).find(busy).unwrap_or(2)
    }

    /// The lanes for rows of `words` words: as selected, or fewer, so that at least three quarters of
    /// them have work. A row of 18 words keeps 8 lanes busier than 32.
    fn lanes_with_work(&self, words: u32) -> Lanes {
        let busy = |lanes: u32| 4 * words >= 3 * lanes * words.div_ceil(lanes);
        let fewer = |most: u32| [32, 16, 8].into_iter().filter(|l| *l <= most).find(|l| busy(*l));
        let Lanes { kind, lanes, .. } = self.lanes;
        if busy(lanes) {
            return self.lanes;
        }
        let fewer = Lanes { lanes: fewer(lanes).unwrap_or(4), ..self.lanes };
        // Part of a subgroup reduces in the same way as subgroups of any size.
        let across = Lanes { kind: LanesKind::AcrossSubgroups, ..fewer };
        match kind {
            LanesKind::Workgroup | LanesKind::AcrossSubgroups => fewer,
            LanesKind::WholeSubgroup if self.allows(across) => across,
            LanesKind::WholeSubgroup | LanesKind::One | LanesKind::LanePerRow => self.lanes,
        }
    }

    /// The lanes that shuffle queries and weights in `attention_split_shuffle`: those of a CPU's
    /// vector units, where each lane pays for its load. Fewer than eight lanes are too few.
    pub(crate) fn shuffle_lanes(&self, reduce: Reduce) -> Option<u32> {
        let Reduce::WholeSubgroup(lanes @ 8..=16) = reduce else { return None };
        let usable = self.attention == AttentionTiling::Direct
            && !self.profile.excluded.contains("attention_split_shuffle");
        usable.then_some(lanes)
    }

    /// How workgroups that split the keys of a context reduce, and how many keys each takes.
    pub(crate) fn split(&self, context: usize) -> (Reduce, usize) {
        let chunk = (context / 64).next_power_of_two().clamp(self.chunk, 256.max(self.chunk));
        (self.reduce.at_most(64), chunk)
    }
}

fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut kept = Vec::new();
    for one in all {
        if !kept.contains(&one) {
            kept.push(one);
        }
    }
    kept
}
