//! A weight matrix on the device: its format, and where its rows lie.

use crate::gpu::{Binding, BufferId, padded};
use crate::names::Format;

use super::{part, word};
use crate::gpu::Part;

/// A matrix (rows, columns) of weights, y = W x, in one or more parts split by rows.
#[derive(Clone, Debug)]
pub struct Weight {
    /// The name in the file, for errors.
    pub name: String,
    /// How its numbers are stored.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// The parts, in order; all but the last hold a multiple of eight rows.
    pub parts: Vec<WeightPart>,
}

/// Consecutive rows of a weight matrix in buffers of their own.
#[derive(Clone, Debug)]
pub struct WeightPart {
    /// The first row that it holds.
    pub first: usize,
    /// How many rows it holds.
    pub rows: usize,
    /// One buffer a plane: the words, and scales where the format has them.
    pub planes: Vec<BufferId>,
}

/// Weights in a 16-byte word.
fn per_word(format: Format) -> usize {
    match format {
        Format::F32 => 4,
        Format::F16 | Format::Bf16 => 8,
        Format::Q8_0 => 16,
        Format::Q4_0 | Format::Q4_1 => 32,
    }
}

impl Weight {
    /// A matrix whose buffers exist only by name: enough to record, not to run.
    pub fn named(
        name: &str,
        format: Format,
        rows: usize,
        columns: usize,
        max_binding: u64,
    ) -> Self {
        let row_bytes = Self::plane_bytes(format, columns)[0];
        let fit = usize::try_from(max_binding).unwrap_or(usize::MAX) / row_bytes.max(1);
        let step = if fit >= rows { rows.max(1) } else { (fit / 8 * 8).max(8) };
        let parts = (0..rows)
            .step_by(step)
            .map(|first| WeightPart {
                first,
                rows: step.min(rows - first),
                planes: Self::plane_bytes(format, columns)
                    .iter()
                    .map(|_| BufferId::fresh())
                    .collect(),
            })
            .collect();
        Self { name: name.to_owned(), format, rows, columns, parts }
    }

    /// The bytes of one row in each plane; planes hold a multiple of four rows.
    pub fn plane_bytes(format: Format, columns: usize) -> Vec<usize> {
        match format {
            Format::F32 => vec![padded(columns) * 4],
            Format::F16 | Format::Bf16 => vec![padded(columns) * 2],
            Format::Q8_0 => vec![columns, columns / 32 * 2],
            Format::Q4_0 => vec![columns / 2, columns / 32 * 2],
            Format::Q4_1 => vec![columns / 2, columns / 32 * 4],
        }
    }

    /// All bytes of the matrix on the device.
    pub fn bytes(&self) -> u64 {
        (Self::plane_bytes(self.format, self.columns).iter().sum::<usize>() * self.rows) as u64
    }

    /// The 16-byte words of a row.
    pub(super) fn words(&self) -> u32 {
        word(padded(self.columns) / per_word(self.format))
    }

    /// The part that decodes its format.
    pub(super) fn decoder(&self) -> &'static Part {
        part(match self.format {
            Format::F32 => "weight_f32",
            Format::F16 => "weight_f16",
            Format::Bf16 => "weight_bf16",
            Format::Q8_0 => "weight_q8_0",
            Format::Q4_0 => "weight_q4_0",
            Format::Q4_1 => "weight_q4_1",
        })
    }

    pub(super) fn bindings(part: &WeightPart) -> Vec<Binding> {
        part.planes.iter().map(|&plane| Binding::Read(plane)).collect()
    }

    /// The bytes that a kernel fetches when it reads every row of a part once.
    pub(super) fn part_bytes(&self, part: &WeightPart) -> u64 {
        (Self::plane_bytes(self.format, self.columns).iter().sum::<usize>() * part.rows) as u64
    }
}
