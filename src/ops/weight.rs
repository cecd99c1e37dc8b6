//! A weight matrix on the device: its format, and the buffers of its rows.

use crate::format::Format;
use crate::gpu::{Binding, BufferId, Program, padded};
use crate::select::{Shape, part};

use super::op::to_u32;

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
    pub shards: Vec<WeightShard>,
}

/// Consecutive rows of a weight matrix in buffers of their own.
#[derive(Clone, Debug)]
pub struct WeightShard {
    /// The first row that it holds.
    pub first: usize,
    /// How many rows it holds.
    pub rows: usize,
    /// One buffer per plane: the words, and the scales if the format has them, with whatever else
    /// the words do not hold.
    pub planes: Vec<BufferId>,
}

/// Fills a kernel's `weight` slot, and the slots of the part that fills it.
pub(crate) fn decode(format: Format, program: Program) -> Program {
    format.info().parts.iter().fold(program, |program, name| program.part(part(name)))
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
        let shards = (0..rows)
            .step_by(step)
            .map(|first| WeightShard {
                first,
                rows: step.min(rows - first),
                planes: Self::plane_bytes(format, columns)
                    .iter()
                    .map(|_| BufferId::fresh())
                    .collect(),
            })
            .collect();
        Self { name: name.to_owned(), format, rows, columns, shards }
    }

    /// The bytes of one row in each plane; planes hold a multiple of four rows.
    pub fn plane_bytes(format: Format, columns: usize) -> Vec<usize> {
        format.plane_bytes(columns)
    }

    /// The bytes of the matrix on the device.
    pub fn bytes(&self) -> u64 {
        (Self::plane_bytes(self.format, self.columns).iter().sum::<usize>() * self.rows) as u64
    }

    /// The shape of its product with `rows` rows of x.
    pub fn shape(&self, rows: usize) -> Shape {
        Shape::new(self.format, rows, [self.rows, self.columns])
    }

    /// The 16-byte words of a row.
    pub(super) fn words(&self) -> u32 {
        to_u32(padded(self.columns) / self.format.info().word)
    }

    /// Fills a kernel's `weight` slot.
    pub(super) fn decode(&self, program: Program) -> Program {
        decode(self.format, program)
    }

    pub(super) fn bindings(part: &WeightShard) -> Vec<Binding> {
        part.planes.iter().map(|&plane| Binding::Read(plane)).collect()
    }

    /// The bytes that a kernel fetches when it reads every row of a part once.
    pub(super) fn shard_bytes(&self, part: &WeightShard) -> u64 {
        (Self::plane_bytes(self.format, self.columns).iter().sum::<usize>() * part.rows) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::planes;

    #[test]
    fn planes_have_the_size_that_buffers_are_made_with() {
        for format in Format::ALL {
            for columns in [256, 512, 1280].into_iter().chain((format.block() == 32).then_some(96))
            {
                for rows in [1, 4, 6] {
                    let packed =
                        planes(format, columns, &vec![0; format.row_bytes(columns) * rows]);
                    let sizes = Weight::plane_bytes(format, columns);
                    assert_eq!(packed.len(), sizes.len(), "{format}");
                    for (plane, size) in packed.iter().zip(sizes) {
                        let rows = rows..=rows.next_multiple_of(4);
                        assert!(rows.map(|rows| rows * size).any(|size| size == plane.len()));
                    }
                }
            }
        }
    }

    #[test]
    fn rows_say_how_many_values_their_shaders_decode_at_once() {
        for format in Format::ALL {
            let line = format!("const WORD: u32 = {}u;", format.info().word);
            let source = part(format.info().parts[0]).source;
            assert!(source.lines().any(|found| found == line), "{format}: no {line:?}");
        }
    }

    #[test]
    fn the_device_reads_at_most_a_fiftieth_more_than_the_file_has() {
        for format in Format::ALL {
            for columns in [256, 768, 4096] {
                let device: usize = Weight::plane_bytes(format, columns).iter().sum();
                let file = format.row_bytes(columns);
                assert!(device * 100 <= file * 102, "{format}: {device} bytes for {file}");
            }
        }
    }
}
