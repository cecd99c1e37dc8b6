//! What is known of a device: plain data, found out by trying, and kept from run to run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::gpu::Caps;
use crate::names::Format;

use super::variants::fixed;
use super::{AttentionTiling, Lanes, Matmul, Reduce, Weight};

/// What was found out about a device, by trying: plain data, kept from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceProfile {
    /// Kernels and parts, by name, that calculate wrongly on it.
    pub excluded: BTreeSet<String>,
    /// How few rows are multiplied best, by the name of a [`Shape`].
    pub lanes: BTreeMap<String, Lanes>,
    /// How many rows are multiplied best, by the name of a [`Shape`].
    pub matmul: BTreeMap<String, Matmul>,
    /// How norms and softmaxes sum best.
    pub reduce: Option<Reduce>,
    /// How attention of many rows fetches best.
    pub attention: Option<AttentionTiling>,
    /// The fewest keys that a workgroup best takes where those of few rows are split.
    pub chunk: Option<usize>,
    /// Whether products in half floats are welcome where they are faster: a matter of taste, which is
    /// asked for anew each time.
    #[serde(skip)]
    pub half: bool,
}

impl DeviceProfile {
    /// What is excluded, without what was measured.
    #[must_use]
    pub fn unmeasured(&self) -> Self {
        Self { excluded: self.excluded.clone(), half: self.half, ..Self::default() }
    }

    /// Takes over what was measured of these shapes, and forgets what was known of them.
    pub fn learn(&mut self, shapes: &[Shape], measured: Self) {
        for shape in shapes {
            self.lanes.remove(&shape.name());
            self.matmul.remove(&shape.name());
        }
        self.lanes.extend(measured.lanes);
        self.matmul.extend(measured.matmul);
        self.reduce = measured.reduce;
        self.attention = measured.attention;
        self.chunk = measured.chunk;
    }

    /// What was measured, without what is excluded.
    #[must_use]
    pub fn unchecked(&self) -> Self {
        Self { excluded: BTreeSet::new(), ..self.clone() }
    }
}

/// A linear map as a table of measurements knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How the weights are stored.
    pub format: Format,
    /// Rows of x, rounded up to a power of two.
    pub rows: usize,
    /// Outputs of a row.
    pub outputs: usize,
    /// Inputs of a row.
    pub inputs: usize,
}

impl Shape {
    /// The shape of a product of so many rows.
    pub fn new(weight: &Weight, rows: usize) -> Self {
        let (outputs, inputs) = (weight.rows, weight.columns);
        Self { format: weight.format, rows: rows.next_power_of_two(), outputs, inputs }
    }

    /// Its name: the format and the sizes.
    pub fn name(&self) -> String {
        format!("{} {}x{}x{}", self.format, self.rows, self.outputs, self.inputs)
    }
}

// What was kept in a file may be anything by now: only what a device can run is believed.

impl Reduce {
    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let whole = |size: u32| size.is_power_of_two() && size <= caps.max_invocations;
        match self {
            Self::Workgroup(size) => whole(size),
            Self::WholeSubgroup(size) => whole(size) && fixed(caps) == Some(size),
            Self::AcrossSubgroups { size, least } => {
                let profile = caps.subgroups.is_some_and(|(smallest, _)| least <= smallest);
                whole(size) && least.is_power_of_two() && least <= size && profile
            }
        }
    }
}

impl Lanes {
    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        let whole = |size: u32, lanes: u32| {
            lanes.is_power_of_two()
                && size.is_multiple_of(lanes)
                && (1..=caps.max_invocations).contains(&size)
        };
        match self {
            Self::One(size) => whole(size, 1),
            Self::LanePerRow { size, lanes } => {
                whole(size, lanes) && lanes >= 4 && fixed(caps) == Some(lanes)
            }
            Self::WholeSubgroup { size, lanes } => whole(size, lanes) && fixed(caps) == Some(lanes),
            Self::Workgroup { size, lanes } | Self::AcrossSubgroups { size, lanes } => {
                whole(size, lanes)
            }
        }
    }
}

impl Matmul {
    /// Whether a device can run it.
    pub(super) fn fits(self, caps: &Caps) -> bool {
        match self {
            Self::Direct { n, t } => {
                n > 0 && t > 0 && n.checked_mul(t).is_some_and(|size| size <= caps.max_invocations)
            }
            Self::Tiled | Self::TiledHalf => true,
        }
    }
}

/// FNV-1a, 64 bits, in hexadecimal: the same on every machine and with every compiler.
pub fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}
