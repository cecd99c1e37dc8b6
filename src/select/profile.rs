//! What is known of a device: plain data, found by measurement, and kept from run to run.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use super::variants::{AttentionTiling, Lanes, Matmul, Reduce};

/// What is known about a device: which kernels are wrong on it, and which variants are fastest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceProfile {
    /// Kernels and parts, by name, whose results are wrong on it.
    pub excluded: BTreeSet<String>,
    /// The fastest way to share few rows, by shape.
    pub lanes: BTreeMap<Shape, Lanes>,
    /// The fastest way to multiply many rows, by shape.
    pub matmul: BTreeMap<Shape, Matmul>,
    /// The fastest reduction in norms and softmaxes.
    pub reduce: Option<Reduce>,
    /// The fastest way for attention of many rows to load keys and values.
    pub attention: Option<AttentionTiling>,
    /// The fewest keys per workgroup when the keys of a few rows are split.
    pub chunk: Option<usize>,
    /// Whether products in f16 may be used where they are faster. This is the user's decision, not a
    /// property of the device, so it is not kept.
    #[serde(skip)]
    pub f16: bool,
}

impl DeviceProfile {
    /// The exclusions, without the measurements.
    #[must_use]
    pub fn unmeasured(&self) -> Self {
        Self { excluded: self.excluded.clone(), f16: self.f16, ..Self::default() }
    }

    /// The measurements, without the exclusions.
    #[must_use]
    pub fn unchecked(&self) -> Self {
        Self { excluded: BTreeSet::new(), ..self.clone() }
    }

    /// Takes over the measurements of these shapes, replacing earlier ones.
    pub fn learn(&mut self, shapes: &[Shape], measured: Self) {
        for shape in shapes {
            self.lanes.remove(shape);
            self.matmul.remove(shape);
        }
        self.lanes.extend(measured.lanes);
        self.matmul.extend(measured.matmul);
        self.reduce = measured.reduce;
        self.attention = measured.attention;
        self.chunk = measured.chunk;
    }
}

/// FNV-1a, 64 bits, in hexadecimal: the same on every machine and with every compiler.
pub fn fingerprint(bytes: impl IntoIterator<Item = u8>) -> String {
    let hash = bytes.into_iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}
