//! Handles on device memory: plain numbers, so that recording needs no device.

use std::sync::atomic::{AtomicU64, Ordering};

/// The id of a buffer: a persistent one, or a transient one of a single recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u64);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Set in the ids of buffers that live only within one recording.
const TRANSIENT: u64 = 1 << 63;

impl BufferId {
    /// A new id that no other persistent buffer has.
    pub fn fresh() -> Self {
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn transient(index: usize) -> Self {
        Self(TRANSIENT | index as u64)
    }

    /// Whether it lives only within one recording.
    pub(crate) fn is_transient(self) -> bool {
        self.transient_index().is_some()
    }

    /// The index within its recording, if the buffer is a transient one.
    pub(super) fn transient_index(self) -> Option<usize> {
        (self.0 & TRANSIENT != 0).then_some((self.0 & !TRANSIENT) as usize)
    }
}

/// Rows are padded to a multiple of this many values, so that every kernel may load four at once
/// and every packed format fills whole 16-byte words.
const PADDING: usize = 8;

/// The length of a stored row of `columns` values.
pub const fn padded(columns: usize) -> usize {
    columns.div_ceil(PADDING) * PADDING
}

/// A row-major matrix of 4-byte values on the device.
///
/// What lies in the padding of a row is unspecified, perhaps NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Where the values are.
    pub buffer: BufferId,
    /// How many rows.
    pub rows: usize,
    /// Values per row, without padding.
    pub columns: usize,
}

impl Tensor {
    /// A matrix in a buffer of its own that outlives recordings; the engine must still create it.
    pub fn persistent(rows: usize, columns: usize) -> Self {
        Self { buffer: BufferId::fresh(), rows, columns }
    }

    /// The distance between the starts of two rows, in values.
    pub const fn stride(&self) -> usize {
        padded(self.columns)
    }

    /// The bytes of the whole matrix.
    pub const fn bytes(&self) -> u64 {
        (self.rows * self.stride() * 4) as u64
    }

    /// The range of its buffer that a readback copies: all of it.
    pub(crate) fn range(&self) -> (BufferId, u64, u64) {
        (self.buffer, 0, self.bytes())
    }

    /// Its values, of the bytes of that range: `rows · columns`, without the padding of its rows.
    pub(crate) fn values(&self, bytes: &[u8]) -> Vec<f32> {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        if self.columns == self.stride() {
            return values;
        }
        let rows = values.chunks_exact(self.stride());
        rows.flat_map(|row| &row[..self.columns]).copied().collect()
    }
}
